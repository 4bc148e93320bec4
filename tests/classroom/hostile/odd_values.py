"""Valid JSON with values of the wrong types. 0 points, and the reason."""

POINTS = 0


def notebook(nb):
    return b'{"nbformat": 4, "nbformat_minor": 5, "metadata": [], "cells": [{"cell_type": 7, "source": {"a": null}}, 3, null]}'
