"""
The domain of secure file transfer: users, vault and sharing.

Pure; its only dependency is attrs.
"""
