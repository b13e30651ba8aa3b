"""
Adapters with one bug each, as real adapters have had; each docstring names the bug.
"""
