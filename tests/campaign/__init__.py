"""
Campaigns: a service under load is killed, over and over, and held to what it has acknowledged.
"""
