"""
Tests of the test kit: the machines on every system, and planted bugs.
"""
