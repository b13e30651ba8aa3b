"""
One request below Falcon: the connection, the exchange and the application around it.
"""
