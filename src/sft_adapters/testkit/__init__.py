"""
The importable harness: contracts every adapter passes, strategies, state machines, vectors.
"""
