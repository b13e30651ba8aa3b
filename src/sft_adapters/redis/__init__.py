"""
What may be lost with a clear answer, in Redis or Valkey: sessions on their way, and throttles.

A server that is down, slow, flushed, full or read-only costs speed and breaks no promise.
"""
