"""
Clients of a running service: raw sockets, curl, tus, and users under load.
"""
