"""Gets hold of a forbidden function without naming it. It refuses when it is called: no points, and the sentence about the name."""

POINTS = 3
SAYS = "may not use torch.cumsum"
ANSWER = r"""def decayed(x, a):
    return getattr(torch, 'cum' + 'sum')(x, 1)
"""
