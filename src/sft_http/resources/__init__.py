"""
One Falcon resource a noun: each responder parses a request, calls a use case, and renders what it returns.
"""
