"""Figures in one style: colours that the colour-blind can tell apart, a title that states the finding, axes with names and units.

``figure``  axes in a row or grid          ``heat``    a matrix with its colour bar
``curves``  lines over seeds with spread   ``mask``    who may attend to whom
``bars``    values with spread             ``COLOURS`` the palette (Okabe and Ito, 2008)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

__all__ = ["BLUE", "COLOURS", "GREEN", "GREY", "ORANGE", "PINK", "RED", "SKY", "YELLOW", "bars", "curves", "figure", "heat", "mask"]

BLUE, ORANGE, GREEN, RED, SKY, PINK, YELLOW, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7", "#F0E442", "#7F7F7F"
COLOURS = [BLUE, ORANGE, GREEN, RED, SKY, PINK, YELLOW, GREY]

plt.rcParams.update(
    {
        "axes.prop_cycle": plt.cycler(color=COLOURS),
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlesize": 11,
        "axes.titlelocation": "left",
        "axes.labelsize": 10,
        "axes.grid": False,
        "figure.dpi": 90,
        "figure.facecolor": "white",  # stays readable in a dark JupyterLab
        "font.size": 10,
        "image.cmap": "viridis",
        "legend.frameon": False,
        "lines.linewidth": 1.8,
        "savefig.dpi": 90,
        "savefig.facecolor": "white",
    }
)


def figure(
    rows: int = 1, columns: int = 1, *, title: str = "", width: float = 3.6, height: float = 2.9, **kwargs: Any
) -> tuple[Figure, Any]:
    """A figure with a grid of axes, ``width`` × ``height`` inches each, and one title that says what is to be seen."""
    fig, axes = plt.subplots(rows, columns, figsize=(width * columns, height * rows), layout="constrained", **kwargs)
    if title:
        fig.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold")
    return fig, axes


def curves(ax: Axes, x: Any, lines: Mapping[str, Any], *, xlabel: str, ylabel: str, title: str = "", logx=False, logy=False) -> None:
    """One line a name. A value of shape (seeds, points) is drawn as its mean with the range of the seeds around it."""
    for number, (name, values) in enumerate(lines.items()):
        y = np.atleast_2d(_array(values))
        colour = COLOURS[number % len(COLOURS)]
        ax.plot(_array(x), y.mean(0), label=name, color=colour, linestyle=["-", "--", "-.", ":"][number // len(COLOURS) % 4])
        if len(y) > 1:
            ax.fill_between(_array(x), y.min(0), y.max(0), color=colour, alpha=0.2, linewidth=0)
    if logx:
        ax.set_xscale("log")
    if logy:
        ax.set_yscale("log")
    ax.set(xlabel=xlabel, ylabel=ylabel, title=title)
    if len(lines) > 1:
        ax.legend(fontsize=8)


def bars(
    ax: Axes, values: Mapping[str, Any], *, ylabel: str, title: str = "", colours: Sequence[str] | None = None, fmt: str = "{:.3g}"
) -> None:
    """One bar a name: the mean of its seeds, with a line from the smallest to the largest."""
    colours = colours or COLOURS
    for i, (_name, value) in enumerate(values.items()):
        v = np.atleast_1d(_array(value))
        ax.bar(i, v.mean(), color=colours[i % len(colours)], width=0.7)
        if len(v) > 1:
            ax.plot([i, i], [v.min(), v.max()], color="black", linewidth=1.2)
        ax.annotate(fmt.format(v.mean()), (i, v.max()), ha="center", va="bottom", fontsize=8, xytext=(0, 2), textcoords="offset points")
    ax.set_xticks(
        range(len(values)),
        list(values),
        rotation=20 if sum(map(len, values)) > 30 else 0,
        ha="right" if sum(map(len, values)) > 30 else "center",
    )
    ax.set(ylabel=ylabel, title=title)
    ax.margins(y=0.12)


def heat(
    ax: Axes, matrix: Any, *, xlabel: str, ylabel: str, title: str = "", centred: bool = False, bar: bool = True, **kwargs: Any
) -> Any:
    """A matrix as an image; ``centred`` uses a blue–white–red map that is symmetric about 0."""
    m = _array(matrix)
    if centred:
        top = float(np.abs(m).max()) or 1.0
        kwargs = {"cmap": "RdBu_r", "vmin": -top, "vmax": top} | kwargs
    image = ax.imshow(m, aspect="auto", interpolation="nearest", **kwargs)
    ax.set(xlabel=xlabel, ylabel=ylabel, title=title)
    ax.spines[:].set_visible(False)
    if bar:
        ax.figure.colorbar(image, ax=ax, shrink=0.85)
    return image


def mask(ax: Axes, visible: Any, *, title: str = "", tokens: Sequence[str] | None = None) -> None:
    """Who may attend to whom: rows are queries, columns keys, a filled cell is visible."""
    m = _array(visible).astype(float)
    ax.imshow(m, cmap="Blues", vmin=0, vmax=1.4, interpolation="nearest")
    ax.set_xticks(np.arange(m.shape[1] + 1) - 0.5, minor=True)
    ax.set_yticks(np.arange(m.shape[0] + 1) - 0.5, minor=True)
    ax.grid(which="minor", color="white", linewidth=1)
    ax.tick_params(which="minor", length=0)
    if tokens is not None:
        ax.set_xticks(range(len(tokens)), tokens, rotation=90)
        ax.set_yticks(range(len(tokens)), tokens)
    ax.set(xlabel="key position", ylabel="query position", title=title)
    ax.spines[:].set_visible(False)


def _array(x: Any) -> np.ndarray:
    return np.asarray(x.detach().cpu().numpy() if hasattr(x, "detach") else x)
