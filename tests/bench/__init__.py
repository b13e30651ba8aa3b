"""
Benchmarks: ratios against named references on the same machine, in one run.
"""
