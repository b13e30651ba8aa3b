"""
Operators' commands.
"""
