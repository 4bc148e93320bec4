"""Magics in an answer: %reset, %autoreload. They are no Python; the sentence says so."""

POINTS = 3
SAYS = "notebook command"
NBGRADER = True
ANSWER = r"""%reset -f
%load_ext autoreload
%autoreload 2
def decayed(x, a):
    y = x.clone()
    for t in range(1, x.shape[1]):
        y[:, t] += a * y[:, t - 1]
    return y
"""
