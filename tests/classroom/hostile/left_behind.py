"""Leaves a process that kills everybody later. The next task runs in a new sandbox."""

POINTS = 6
FLAG = "leaves processes behind"
ANSWER = r"""import os, time
if os.fork() == 0:
    os.setsid()
    for _ in range(50):
        time.sleep(0.2)
        os.kill(os.getppid(), 9) if os.getppid() > 1 else None
    os._exit(0)
def decayed(x, a):
    y = x.clone()
    for t in range(1, x.shape[1]):
        y[:, t] += a * y[:, t - 1]
    return y
"""
