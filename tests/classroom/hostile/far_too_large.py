"""A notebook of 200 MB. It is not read; 0 points, and the reason."""

POINTS = 0
SAYS = "200 MB large"


def notebook(nb):
    return b'{"cells": [], "x": "' + b"x" * (200 << 20) + b'"}'
