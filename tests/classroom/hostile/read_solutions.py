"""Looks for the solutions, the tests and the answers. No file in the sandbox holds any."""

POINTS = 6
ANSWER = r"""import course, os
root = os.path.dirname(os.path.dirname(course.__file__))
for name in ('solutions', 'exercises', 'tests', '.git', 'work'):
    assert not os.path.exists(os.path.join(root, name)), name
def decayed(x, a):
    y = x.clone()
    for t in range(1, x.shape[1]):
        y[:, t] += a * y[:, t - 1]
    return y
"""
