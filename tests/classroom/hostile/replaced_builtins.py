"""Replaces builtins that tests use. Noticed, put back."""

LONG = True
POINTS = 3
FLAG = "replaces builtins."
ANSWER = r"""import builtins
builtins.all = builtins.any = lambda *a: True
builtins.isinstance = lambda *a: True
def decayed(x, a):
    return x
"""
