"""Kills the process that grades it. The task is lost; the others get a new sandbox."""

POINTS = 3
FLAG = "uses signal"
ANSWER = r"""import os, signal
os.kill(os.getppid(), signal.SIGKILL)
"""
