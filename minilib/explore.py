"""Interactive pictures: controls on top, one figure below, a question first and the answer on demand.

    explore(draw,                                                # draws one figure from its arguments, in under 300 ms
            eta=slider(0.1, 4.0, 0.1, start=1.5, label="step size η"),
            heads=choice({"one": 1, "four": 4}, label="heads"),
            ask="At which step size does the layer diverge? Find it.",
            notice="Past 2/λ_max it diverges exactly as gradient descent does.")

The first frame is stored as an ordinary picture, so a page without a kernel still shows it.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ipywidgets as widgets
import matplotlib.pyplot as plt
from IPython.display import display
from matplotlib.figure import Figure

import minilib.show  # noqa: F401  the one style of all figures

__all__ = ["choice", "explore", "slider", "toggle"]

_STYLE = {"description_width": "initial"}
_LAYOUT = {"width": "min(34em, 95%)"}


def slider(low: float, high: float, step: float = 1, *, start: float | None = None, label: str) -> widgets.Widget:
    """A number between ``low`` and ``high``; arrow keys move it by ``step``."""
    start = low if start is None else start
    whole = all(float(v).is_integer() for v in (low, high, step, start))
    kind, number = (widgets.IntSlider, int) if whole else (widgets.FloatSlider, float)
    return kind(
        number(start),
        min=number(low),
        max=number(high),
        step=number(step),
        description=label,
        style=_STYLE,
        layout=_LAYOUT,
        continuous_update=False,
    )


def choice(options: Sequence[Any] | Mapping[str, Any], *, start: Any = None, label: str) -> widgets.Widget:
    """One of several options; a mapping shows its keys and passes its values."""
    options = list(options.items()) if isinstance(options, Mapping) else list(options)
    first = options[0][1] if isinstance(options[0], tuple) else options[0]
    return widgets.Dropdown(options=options, value=first if start is None else start, description=label, style=_STYLE, layout=_LAYOUT)


def toggle(start: bool = False, *, label: str) -> widgets.Widget:
    """On or off."""
    return widgets.Checkbox(value=start, description=label, style=_STYLE, indent=False, layout=_LAYOUT)


def explore(draw: Callable[..., Figure | None], *, ask: str, notice: str, **controls: widgets.Widget) -> None:
    """Show ``draw(**values)`` under its controls and draw it anew whenever one of them moves.

    Args:
        draw: takes one keyword argument a control and returns a figure (or draws on the current one).
        ask: the question, shown first.
        notice: what there is to be seen; folded away until a control has been moved.
    """

    def frame() -> Figure:
        open_before = set(plt.get_fignums())
        try:
            made = draw(**{name: control.value for name, control in controls.items()})
            return made if isinstance(made, Figure) else plt.gcf()
        finally:  # the inline backend would show what stays open a second time
            for number in set(plt.get_fignums()) - open_before:
                plt.close(number)

    answer = widgets.HTML(f"<details><summary>What to notice</summary>{html.escape(notice)}</details>", layout={"display": "none"})
    trouble = widgets.HTML()
    display(widgets.VBox([widgets.HTML(f"<b>{html.escape(ask)}</b>"), *controls.values(), answer, trouble]))
    picture = display(frame(), display_id=True)

    def moved(_: Any) -> None:
        answer.layout.display = None
        try:
            picture.update(frame())
            trouble.value = ""
        except Exception as problem:  # a setting that cannot be drawn says so and leaves the last picture
            trouble.value = f"<span style='color:#b2182b'>This setting cannot be drawn: {html.escape(str(problem))}</span>"

    for control in controls.values():
        control.observe(moved, names="value")
