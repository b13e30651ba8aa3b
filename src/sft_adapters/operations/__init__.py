"""
The operators' commands, above the composition root.
"""
