"""Registers hooks with IPython before the tests run. There is no IPython in the grader."""

LONG = True
POINTS = 3
SAYS = "get_ipython"
FLAG = "uses get_ipython"
NBGRADER = True
ANSWER = r"""get_ipython().events.register('pre_run_cell', print)
def decayed(x, a):
    y = x.clone()
    for t in range(1, x.shape[1]):
        y[:, t] += a * y[:, t - 1]
    return y
"""
