"""
The reference adapters: everything in memory, with real rollback, real isolation, real conflicts.
"""
