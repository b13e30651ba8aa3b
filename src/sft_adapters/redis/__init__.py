"""
What may be lost with a clear answer, in Redis or Valkey: sessions on their way, and throttles.
"""
