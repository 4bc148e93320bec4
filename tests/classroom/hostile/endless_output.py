"""Prints without end. What it prints is cut, the loop is stopped."""

LONG = True
POINTS = 3
SAYS = "longer than"
NBGRADER = True
ANSWER = r"""while True:
    print('x' * 1000)
"""
