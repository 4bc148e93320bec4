"""Shuts the kernel down. There is none to shut down; under plain nbgrader it is the student's own."""

LONG = True
POINTS = 3
SAYS = "get_ipython"
FLAG = "uses get_ipython"
NBGRADER = True
ANSWER = r"""get_ipython().kernel.do_shutdown(False)
import os
os._exit(0)
"""
