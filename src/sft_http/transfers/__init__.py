"""
Bytes between a request and the vault.
"""
