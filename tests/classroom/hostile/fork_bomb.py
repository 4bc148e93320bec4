"""Forks without end, whatever the system answers. The sandbox is stopped; only this task's points are lost."""

POINTS = 3
FLAG = "uses fork"
ANSWER = r"""import os
while True:
    try:
        os.fork()
    except OSError:
        pass
"""
