"""A shell command in an answer. It is no Python; under plain nbgrader it runs inside the sandbox."""

LONG = True
POINTS = 3
SAYS = "notebook command"
NBGRADER = True
ANSWER = r"""!touch /tmp/x; rm -rf / 2>/dev/null
def decayed(x, a):
    y = x.clone()
    for t in range(1, x.shape[1]):
        y[:, t] += a * y[:, t - 1]
    return y
"""
