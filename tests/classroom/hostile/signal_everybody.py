"""Sends SIGKILL to all processes there are. It reaches its own sandbox only."""

LONG = True
POINTS = 3
FLAG = "uses signal"
ANSWER = r"""import os, signal
os.kill(-1, signal.SIGKILL)
"""
