"""
People's commands; they need no server package. Operators' commands are loaded when they are named.
"""
