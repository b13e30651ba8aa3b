"""
The domain of secure file transfer: users, vault and sharing; pure, its only dependency is attrs.
"""
