"""Forks without end. The sandbox is stopped; only this task's points are lost."""

POINTS = 3
ANSWER = r"""import os
while True:
    os.fork()
"""
