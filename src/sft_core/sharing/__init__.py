"""
Links: how a file is handed to others, for how long and how often.
"""
