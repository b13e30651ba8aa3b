"""
Operators' maintenance of a vault: sweep, orphan removal, integrity check, repair.
"""
