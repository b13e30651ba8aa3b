"""
Adapters with one bug each, as adapters really have had them; the docstring of each names its bug.
"""
