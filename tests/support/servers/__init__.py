"""
PostgreSQL, Valkey, S3 and the service itself as processes on free ports.
"""
