"""
The key ring from key files and the environment, reloaded while the service runs.
"""
