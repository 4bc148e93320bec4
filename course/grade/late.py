"""The rule for late work (``[late]`` of settings.toml), one for ``course grade`` and for nbgrader."""

from __future__ import annotations

import math


def penalty(late: dict, score: float, seconds: float) -> float:
    """Points that a rule takes from a score handed in so many seconds late."""
    days = math.ceil(seconds / 86400)
    if seconds <= 0 or score <= 0:
        return 0.0
    if days > late["closed_after"]:
        return score
    return round(score * min(days * late["per_day"], late["at_most"]), 4)
