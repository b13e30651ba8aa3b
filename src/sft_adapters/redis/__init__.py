"""
Caches and rate limits in Redis or Valkey: data that may be lost, with a fallback in the database.

A server that is unavailable, slow, flushed, full or read-only costs speed only, never a guarantee.
"""
