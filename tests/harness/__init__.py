"""
The harness at work: machines on every kind of system, and bugs planted to see that they are found.
"""
