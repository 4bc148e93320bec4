"""Reads address 0. A crash is the task's own."""

LONG = True
POINTS = 3
SAYS = "ended the whole process"
FLAG = "uses ctypes"
ANSWER = r"""import ctypes
ctypes.string_at(0)
"""
