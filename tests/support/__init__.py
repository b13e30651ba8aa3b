"""
What end-to-end tests and benchmarks share: real servers as processes, and a plain wire client.
"""
