"""A lesson at the sizes of its larger run, until the first model of *Train it* has taken two steps: ``python two_steps.py NOTEBOOK``.

Trainings before that section take two steps too; from the first of them on, checks of what a trained model does are let pass.
"""

import contextlib
import os
import resource
import sys
from pathlib import Path

os.environ |= {"COURSE_SCALE": "full", "COURSE_HEADLESS": "1", "MPLBACKEND": "agg"}
GIB = 20

import minilib.check  # noqa: E402
import minilib.training  # noqa: E402
from course import notebooks  # noqa: E402

check, fit = minilib.check.check, minilib.training.fit
cut = []  # the trainings so far
section = ""


class Enough(BaseException):
    """Two steps were taken."""


def two_steps(model, batch, loss, *, steps, **settings):
    for name in ("evaluate", "every", "keep_best", "checkpoint"):  # a whole test set at full size is another question
        settings.pop(name, None)
    before = [p.detach().clone() for p in model.parameters()]
    run = fit(model, batch, loss, steps=2, **settings)
    moved = any(not p.equal(q) for p, q in zip(model.parameters(), before, strict=True))
    assert moved, "two steps moved no parameter"
    cut.append(type(model).__name__)
    if section == "Train it":
        raise Enough
    return run


def lenient(*args, **kwargs):
    try:
        check(*args, **kwargs)
    except AssertionError:
        if not cut:
            raise


@contextlib.contextmanager
def lenient_breaks(change):
    try:
        yield
    except AssertionError:
        return
    assert cut, f"{change}: no check stopped this change"


def main(path: str) -> None:
    global section
    resource.setrlimit(resource.RLIMIT_AS, (GIB * 2**30, GIB * 2**30))
    minilib.training.fit, minilib.check.check, minilib.check.breaks = two_steps, lenient, lenient_breaks
    space = {"__name__": "__main__"}
    os.chdir(os.path.dirname(path))
    for number, cell in enumerate(notebooks.read(Path(path)).cells):
        if cell.cell_type == "markdown":
            section = next((line[3:].strip() for line in cell.source.splitlines() if line.startswith("## ")), section)
        elif not cell.source.startswith("%"):
            try:
                exec(compile(cell.source, f"<cell {number}>", "exec"), space)
            except Enough:
                print(f"two steps of {cut[-1]} in cell {number}")
                return
    sys.exit("no model was trained by `fit` in *Train it*")


if __name__ == "__main__":
    main(sys.argv[1])
