"""Allocates without end. Stopped at the limit, the machine keeps its memory."""

POINTS = 3
ANSWER = r"""x = []
while True:
    x.append(bytearray(10_000_000))
"""
