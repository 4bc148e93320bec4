"""Ends the process. The task is lost, the next one is graded."""

POINTS = 3
SAYS = "ended the whole process"
FLAG = "uses _exit"
ANSWER = r"""import os
os._exit(0)
"""
