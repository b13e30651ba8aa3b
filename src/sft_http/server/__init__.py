"""
gunicorn, the listening socket and the process: everything below one request.
"""
