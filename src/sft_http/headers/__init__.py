"""
Syntax of header fields, as the RFCs define it.
"""
