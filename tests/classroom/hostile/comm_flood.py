"""Opens hundreds of widgets. There is no front end; under plain nbgrader the output is bounded."""

LONG = True
POINTS = 6
NBGRADER = True
ANSWER = r"""import ipywidgets
for i in range(500):
    ipywidgets.IntSlider(value=i % 100, description='x' * 100)
def decayed(x, a):
    y = x.clone()
    for t in range(1, x.shape[1]):
        y[:, t] += a * y[:, t - 1]
    return y
"""
