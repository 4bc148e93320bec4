"""Cells that must fail: a canary that stays silent shows that comparisons have been bribed.

A canary looks like a test to the process that runs it: it has the id and the points of one of the task's tests. It compares things that
differ, in the ways that tests compare, and must end in an AssertionError with a word that only this grader knows. Which of them pass,
though they must not, is its score.
"""

from __future__ import annotations

import re
import secrets

from course.assemble import Test

SOURCE = """import torch as _t
from minilib.check import assert_close as _close, assert_shape as _shape
_a, _b = _t.tensor([{0}.0, {1}.0]), _t.tensor([{1}.0, {0}.0])
def _passes(f, *a):
    try:
        f(*a)
    except AssertionError:
        return False
    return True
_fooled = (_passes(_close, _a, _b), _passes(_shape, _a, (3,)), _t.allclose(_a, _b), _t.equal(_a, _b), bool((_a == _b).all()),
           bool(((_a - _b).abs() < 0.5).any()), isinstance(_a, str), {0} == {1}, len([{0}]) == 2, all([True, False]), max({0}, {1}) == 0)
assert any(_fooled), "{2}"
float(sum(_fooled))"""
NAMES = re.compile(r"\b_(?:t|close|shape|a|b|passes|fooled)\b")  # another canary has other names


def canary(like: Test) -> tuple[Test, str]:
    """A fresh canary that looks like a test, and the word that it must die with."""
    first = secrets.randbelow(900) + 1
    word = secrets.token_hex(8)
    source = NAMES.sub(lambda name: f"_{name[0][1]}{word[:4]}", SOURCE.format(first, first + 1 + secrets.randbelow(90), word))
    return Test(like.id, source, like.points), word


def sings(finding: dict, word: str) -> bool:
    """True if the canary died as it must."""
    return finding.get("points") == 0 and finding.get("message") == word
