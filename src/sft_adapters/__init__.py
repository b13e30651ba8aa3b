"""
Adapters: one folder per technology, each an implementation of the core's ports.
"""
