"""Checks that can fail, guesses that are kept, and assertions in words.

``check``          one line with ✓, or an AssertionError that says what differs and by how much
``breaks``         the *Break it* cells: shows which check stops a change
``predict``        the reader's guess before a result, kept and shown beside it
``assert_close``   the same comparison for the tests of an exercise, with the author's sentence in front
``assert_shape``
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import torch

__all__ = ["assert_close", "assert_shape", "breaks", "check", "lesson_name", "predict"]

_MISSING = object()


def check(name: str, got: Any, want: Any = _MISSING, *, atol: float = 1e-6, rtol: float = 0.0, at_most=None, at_least=None) -> None:
    """Print ``✓ name`` if the fact holds, else raise an AssertionError that says by how much it fails.

    Four forms::

        check("rows sum to one", condition)                 # a bool, or a tensor of bools that must all be true
        check("equals the loop", got, want, atol=1e-6)      # tensors, arrays, numbers: same shape, |got − want| ≤ atol + rtol·|want|
        check("same tokens", got, want)                     # anything else: got == want
        check("error is small", value, at_most=1e-3)        # a number inside a bound; at_least works alike

    Raises:
        AssertionError: the fact does not hold.
    """
    if want is not _MISSING:
        problem, note = _compare(got, want, atol, rtol)
    elif at_most is not None or at_least is not None:
        problem, note = _bounded(float(got), at_most, at_least)
    else:
        problem, note = _true(got), ""
    if problem:
        raise AssertionError(f"✗ {name}: {problem}")
    print(f"✓ {name}{note}")


def assert_close(got: Any, want: Any, message: str = "", *, atol: float = 1e-5, rtol: float = 1e-5) -> None:
    """For the tests of an exercise: raise the author's ``message`` followed by what differs and by how much."""
    problem, _ = _compare(got, want, atol, rtol)
    if problem:
        raise AssertionError(f"{message} ({problem})" if message else problem)


def assert_shape(got: Any, shape: Sequence[int], message: str = "") -> None:
    """Raise a sentence unless ``got`` is a tensor of exactly this shape."""
    if got is None:
        raise AssertionError(f"{message or 'The result'} is None: does the function return its result?")
    if not isinstance(got, torch.Tensor):
        raise AssertionError(f"{message or 'The result'} should be a tensor of shape {tuple(shape)}, it is a {type(got).__name__}.")
    if tuple(got.shape) != tuple(shape):
        raise AssertionError(f"{message or 'The result'} should have shape {tuple(shape)}, it has {tuple(got.shape)}.")


@contextmanager
def breaks(change: str):
    """Run checks that are expected to fail after the named change, and show the message of the one that stops it.

    Raises:
        AssertionError: every check passed, so nothing guards against this change.
    """
    try:
        yield
    except AssertionError as caught:
        print(f"{change}\n  stopped by {caught}")
    else:
        raise AssertionError(f"{change}: no check stopped this change")


def _compare(got: Any, want: Any, atol: float, rtol: float) -> tuple[str, str]:
    """What differs in words ('' if nothing does), and a note on how closely they agree."""
    if got is None:
        return "the result is None: does the function return it?", ""
    numeric = lambda x: isinstance(x, (int, float, complex, torch.Tensor)) or hasattr(x, "__array__")  # noqa: E731
    if isinstance(got, (list, tuple)) and isinstance(want, torch.Tensor):
        got = torch.as_tensor(got)
    if not (numeric(got) and numeric(want)):
        return ("" if got == want else f"got {_short(got)}, expected {_short(want)}"), ""
    with torch._C.DisableTorchFunctionSubclass():  # a class of tensors could decide for itself how it compares
        a, b = (torch.as_tensor(x).detach().as_subclass(torch.Tensor) for x in (got, want))
    if a.shape != b.shape and b.ndim:  # a single number may be compared with a whole tensor
        return f"the shape is {tuple(a.shape)}, expected {tuple(b.shape)}", ""
    exact = not (a.is_floating_point() or a.is_complex() or b.is_floating_point() or b.is_complex())
    kind = torch.complex128 if a.is_complex() or b.is_complex() else torch.float64
    a, b = a.to(kind), b.to(kind)
    if (n := int(a.isnan().sum())) and not bool(b.isnan().any()):
        return f"{n} of {a.numel()} entries are NaN", ""
    difference = torch.where(a == b, torch.zeros_like(a), a - b).abs()  # equal infinities do not differ
    if exact:
        wrong = difference > 0
        return (f"{int(wrong.sum())} of {a.numel()} entries differ, {_where(difference, a, b)}" if bool(wrong.any()) else ""), ""
    near = difference.isfinite() & (difference <= atol + rtol * b.abs())
    if bool(((a == b) | near).all()):  # infinities agree with themselves only
        return "", f" (within {atol:.0e})" if rtol == 0 and atol > 0 else " (exactly)" if atol == 0 == rtol else ""
    worst = float(difference[~difference.isnan()].max()) if bool((~difference.isnan()).any()) else float("nan")
    return f"the largest difference is {worst:.2e}, allowed {atol:.0e}; {_where(difference, a, b)}", ""


def _true(got: Any) -> str:
    """What keeps a condition from holding everywhere ('' if nothing does)."""
    if got is None:
        return "the result is None: does the function return it?"
    holds = torch.as_tensor(got).bool()
    failing = int((~holds).sum())
    if holds.numel() == 0:
        return "there is nothing to check"
    return "" if not failing else f"it is false in {failing} of {holds.numel()} places" if holds.ndim else "it is false"


def _bounded(value: float, at_most: float | None, at_least: float | None) -> tuple[str, str]:
    if at_most is not None and not value <= at_most:
        return f"{value:.4g} is more than {at_most:.4g}", ""
    if at_least is not None and not value >= at_least:
        return f"{value:.4g} is less than {at_least:.4g}", ""
    bounds = [f"{side} {bound:.4g}" for side, bound in (("at least", at_least), ("at most", at_most)) if bound is not None]
    return "", f" ({' and '.join(bounds)})"


def _where(difference: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> str:
    """The place of the largest difference: «got 1.2 where 3.4 is expected, at [0, 2]»."""
    flat = int(difference.nan_to_num(nan=float("inf")).flatten().argmax())
    place = [flat // stride % size for stride, size in zip(difference.contiguous().stride(), difference.shape, strict=True)]
    b = b.expand_as(a)
    number = lambda x: f"{complex(x):.4g}" if x.is_complex() else f"{float(x):.4g}"  # noqa: E731
    return f"got {number(a.flatten()[flat])} where {number(b.flatten()[flat])} is expected" + (f", at {place}" if place else "")


def _short(x: Any, limit: int = 80) -> str:
    text = repr(x)
    return text if len(text) <= limit else text[: limit - 1] + "…"


# ---------------------------------------------------------------------------------------------------------------- predictions


def lesson_name() -> str:
    """The stem of the notebook that is running, from ``COURSE_LESSON`` or JupyterLab's session name."""
    return Path(os.environ.get("COURSE_LESSON") or os.environ.get("JPY_SESSION_NAME") or "scratch").stem


def headless() -> bool:
    """True where nobody sits at the notebook: ``course run``, the tests."""
    return os.environ.get("COURSE_HEADLESS", "") not in ("", "0")


class Guess:
    """What the reader expects, until ``reveal`` shows what came out."""

    def __init__(self, name: str, low: float | None, high: float | None, choices: Sequence[str] | None):
        self.name, self.low, self.high, self.choices = name, low, high, choices
        self.value: tuple[float, float] | str | None = None
        self.kept = False
        if not headless():
            self._ask()

    def _ask(self) -> None:
        import ipywidgets as widgets
        from IPython.display import display

        if self.choices:
            field = widgets.RadioButtons(options=list(self.choices), value=None, layout={"width": "max-content"})
            how = "Choose one."
        else:
            assert self.low is not None and self.high is not None
            whole = isinstance(self.low, int) and isinstance(self.high, int)
            kind = widgets.IntRangeSlider if whole else widgets.FloatRangeSlider
            step = {} if whole else {"step": (self.high - self.low) / 200}
            field = kind(min=self.low, max=self.high, value=(self.low, self.high), **step)
            field.description, field.style, field.layout = "from … to …", {"description_width": "initial"}, {"width": "30em"}
            how = "Give a range that you are 80 % sure of."

        def keep(change):
            self.value = change["new"]

        field.observe(keep, names="value")
        display(widgets.VBox([widgets.HTML(f"<b>Your guess:</b> {self.name}. {how}"), field]))

    def reveal(self, truth: float | str) -> None:
        """Show the result beside the guess and keep both. Without a guess, just the result."""
        shown = truth if isinstance(truth, str) else f"{float(truth):.4g}"
        if self.value is None:
            print(f"{self.name}: {shown}")
            return
        if isinstance(self.value, str):
            hit, said = self.value == truth, self.value
        else:
            low, high = self.value
            hit, said = low <= float(truth) <= high, f"{low:.4g} to {high:.4g}"
        print(f"{self.name}: {shown}. You said {said}: {'right' if hit else 'not this time'}.")
        if not self.kept:
            _remember(self.name, said, str(shown), hit)
        self.kept = True


def predict(name: str, low: float | None = None, high: float | None = None, *, choices: Sequence[str] | None = None) -> Guess:
    """Ask the reader for a guess: a range between ``low`` and ``high`` that holds the answer with 80 %, or one of ``choices``.

    Call ``.reveal(truth)`` on the result once the number is known. Headless runs ask nothing.
    """
    if (choices is None) == (low is None or high is None):
        raise ValueError("predict needs either low= and high=, or choices=")
    return Guess(name, low, high, choices)


def _remember(name: str, guess: str, truth: str, hit: bool) -> None:
    """Keep the guess in the user's data folder; a folder that cannot be written never stops a lesson."""
    try:
        from platformdirs import user_data_path

        folder = Path(os.environ.get("COURSE_DATA") or user_data_path("transformers-rebuilt"))
        folder.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(folder / "progress.sqlite", timeout=10)) as db, db:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("CREATE TABLE IF NOT EXISTS predictions (lesson TEXT, name TEXT, guess TEXT, truth TEXT, hit INTEGER, at REAL)")
            db.execute("INSERT INTO predictions VALUES (?, ?, ?, ?, ?, ?)", (lesson_name(), name, guess, truth, int(hit), time.time()))
    except (OSError, sqlite3.Error) as problem:
        print(f"(your guess could not be kept: {problem})")
