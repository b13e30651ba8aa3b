"""
Commands for operators.
"""
