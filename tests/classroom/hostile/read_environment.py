"""Reads the grader's environment, its own and through /proc. It holds nothing of the grader's."""

POINTS = 6
ANSWER = r"""import os
assert 'GRADERS_SECRET' not in os.environ
for pid in filter(str.isdigit, os.listdir('/proc')):
    try:
        with open(f'/proc/{pid}/environ') as f:
            assert 'GRADERS_SECRET' not in f.read()
    except OSError:
        pass
def decayed(x, a):
    y = x.clone()
    for t in range(1, x.shape[1]):
        y[:, t] += a * y[:, t - 1]
    return y
"""
