"""
Cryptography behind the core's ports: parts, key ring, passwords, tokens, one-time codes, QR codes.
"""
