"""
Campaigns: a service under load is killed repeatedly, and verified against everything it has acknowledged.
"""
