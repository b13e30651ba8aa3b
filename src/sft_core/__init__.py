"""
The pure domain of secure file transfer: users, vault, sharing; it depends on attrs only.
"""
