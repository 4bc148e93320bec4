"""A notebook in format 3. 0 points, and the reason."""

POINTS = 0
SAYS = "format 3"


def notebook(nb):
    return nb | {"nbformat": 3, "nbformat_minor": 0, "worksheets": [{"cells": nb["cells"]}]}
