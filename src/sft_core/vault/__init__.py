"""
Files: received in parts, stored encrypted, read by ranges, destroyed with their key.
"""
