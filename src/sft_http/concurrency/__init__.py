"""
Limits on running calls, on waiting calls and on memory.
"""
