"""Stops the clock and loops for ever. The limit is kept outside."""

LONG = True
POINTS = 3
SAYS = "longer than"
ANSWER = r"""import time
time.time = time.monotonic = time.perf_counter = lambda: 0.0
while True:
    time.time()
"""
