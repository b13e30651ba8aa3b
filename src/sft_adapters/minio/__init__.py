"""
Blobs in MinIO or any other S3 server, by the MinIO SDK.
"""
