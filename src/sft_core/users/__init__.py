"""
Accounts: registration, authentication, second factors and sessions.
"""
