"""
The application in this process: the library, the HTTP layer, example vaults.
"""
