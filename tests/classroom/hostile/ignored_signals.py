"""Ignores every signal and every exception. It is killed."""

LONG = True
POINTS = 3
SAYS = "longer than"
FLAG = "uses signal"
ANSWER = r"""import signal, time
for s in range(1, 65):
    try:
        signal.signal(s, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
while True:
    try:
        time.sleep(99)
    except BaseException:
        pass
"""
