"""Looks for other submissions and the gradebook. There are none to be found."""

POINTS = 6
ANSWER = r"""import os
for folder, folders, names in os.walk('/'):
    folders[:] = [f for f in folders if f not in ('proc', 'usr', 'lib', 'course', 'minilib')]
    assert not {'gradebook.db', 'roster.csv', 'submitted', '98_decay.ipynb'} & {*folders, *names}, folder
def decayed(x, a):
    y = x.clone()
    for t in range(1, x.shape[1]):
        y[:, t] += a * y[:, t - 1]
    return y
"""
