"""Ends itself with exit code 0, as if all had gone well."""

LONG = True
POINTS = 3
SAYS = "tries to end the program"
ANSWER = r"""import sys
sys.exit(0)
"""
