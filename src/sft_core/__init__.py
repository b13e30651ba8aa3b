"""
The domain of secure file transfer: users, their vault, and what they share. Pure; needs attrs only.
"""
