"""
Whole operations while the disk, the S3 server or the power fails.
"""
