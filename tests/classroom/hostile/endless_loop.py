"""Never returns. Stopped at the task's limit."""

POINTS = 3
SAYS = "longer than"
ANSWER = r"""while True:
    pass
"""
