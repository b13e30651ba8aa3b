"""
Files: received in parts, kept encrypted, read in ranges, destroyed with their key.
"""
