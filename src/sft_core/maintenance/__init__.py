"""
What operators run on a vault: sweep, orphan removal, integrity check, repair.
"""
