"""Opens the memory and the files of the process above. Both are closed to it."""

LONG = True
POINTS = 6
ANSWER = r"""import os
for name in ('mem', 'environ', 'fd'):
    try:
        os.listdir(f'/proc/{os.getppid()}/{name}') if name == 'fd' else open(f'/proc/{os.getppid()}/{name}', 'rb')
        raise SystemExit(name)
    except PermissionError:
        pass
def decayed(x, a):
    y = x.clone()
    for t in range(1, x.shape[1]):
        y[:, t] += a * y[:, t - 1]
    return y
"""
