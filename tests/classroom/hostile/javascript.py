"""Scripts for the grader's browser. The cell is no Python, and pages show text only."""

LONG = True
POINTS = 3
SAYS = "notebook command"
NBGRADER = True
ANSWER = r"""%%javascript
alert(document.cookie)
"""
