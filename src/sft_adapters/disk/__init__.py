"""
Blobs in a folder, and the key files of the embedded default.
"""
