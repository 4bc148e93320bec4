"""Waits for somebody to type. Nobody does."""

LONG = True
POINTS = 3
NBGRADER = True
ANSWER = r"""input('password? ')
def decayed(x, a):
    y = x.clone()
    for t in range(1, x.shape[1]):
        y[:, t] += a * y[:, t - 1]
    return y
"""
