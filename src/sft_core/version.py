"""
The version of the distribution, its API document and its command line.
"""

__version__ = "0.1.0"
