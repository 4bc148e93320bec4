"""JSON nested 100,000 deep, to overflow the reader's stack. 0 points, and the reason."""

POINTS = 0


def notebook(nb):
    return b'{"nbformat": 4, "cells": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
