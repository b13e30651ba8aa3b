"""
A session cache and rate limits in Redis or Valkey.

They may be lost, as the database takes the place of the server. A server that is unavailable, slow,
flushed, full or read-only costs speed only, never a guarantee.
"""
