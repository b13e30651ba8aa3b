"""
Key management: which stored secrets need which key, and re-wrapping them under another one.
"""
