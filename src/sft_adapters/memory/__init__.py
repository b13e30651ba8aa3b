"""
The reference adapters: everything in memory, with real rollback, isolation and conflicts.
"""
