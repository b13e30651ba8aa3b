"""
What operators' commands need above the composition root.
"""
