"""
Share links: access to a file for recipients, limited in time and number of downloads.
"""
