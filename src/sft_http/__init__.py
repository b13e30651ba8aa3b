"""
The REST edge, the commands, and what serves them.
"""
