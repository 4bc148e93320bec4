"""Recurses until the stack of C is used up. The crash is the task's own."""

LONG = True
POINTS = 3
ANSWER = r"""import sys
sys.setrecursionlimit(10**9)
def f():
    return f()
f()
"""
