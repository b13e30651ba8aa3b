"""
Blobs in MinIO or any other S3 server, through the MinIO SDK.
"""
