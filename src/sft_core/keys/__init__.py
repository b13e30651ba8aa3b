"""
The keys that wrap what is stored: which secrets need which, and how they come under another one.
"""
