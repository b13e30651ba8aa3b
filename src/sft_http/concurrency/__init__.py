"""
Which call may run, wait or hold memory.
"""
