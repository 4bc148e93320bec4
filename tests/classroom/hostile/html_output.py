"""Displays HTML with a script. Outputs of a submission are shown to nobody."""

LONG = True
POINTS = 6
FLAG = "uses IPython"
NBGRADER = True
ANSWER = r"""from IPython.display import HTML, display
display(HTML('<script>alert(1)</script><img src=x onerror=alert(2)>'))
def decayed(x, a):
    y = x.clone()
    for t in range(1, x.shape[1]):
        y[:, t] += a * y[:, t - 1]
    return y
"""
