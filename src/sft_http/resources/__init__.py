"""
One Falcon resource a path: each parses a request, calls one use case, and renders what it returns.
"""
