"""Drawn pictures with known causes: a pendulum, a light above it, and the shadow on the floor (lesson 45).

Four factors: the pendulum's angle and the light's position are causes, the shadow's position and its length are their effects, each with
a noise of its own. Because the noise is known, the true picture of "the same, had the angle been different" can be drawn.

``pendulum``  pictures, factors and noise      ``do``  the factors after an intervention      ``render``  factors → pictures

Equations are those of the lesson; the idea of the data is Yang et al.'s (2021, CausalVAE). ``B`` pictures, side ``size`` pixels. All
lengths are in sixteenths of the side. Made here, nothing to licence.
"""

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["FACTORS", "MEANS", "SCALES", "do", "pendulum", "render", "standardise"]

FACTORS = ("angle", "light", "shadow position", "shadow length")
MEANS, SCALES = torch.tensor([0.0, 7.5, 7.5, 1.6]), torch.tensor([0.5, 2.6, 2.2, 0.5])  # about those of the distribution
BLOB, DOT = 1.3, 0.7  # standard deviations of the light and the bob, and of the rod's dots


def standardise(factors: Float[Tensor, "b 4"]) -> Float[Tensor, "b 4"]:
    """Factors with mean near 0 and standard deviation near 1; the values that a model is given."""
    return (factors - MEANS) / SCALES


def pendulum(n: int, size: int = 16, seed: int = 0) -> tuple[Float[Tensor, "{n} 1 {size} {size}"], Float[Tensor, "{n} 4"], Tensor]:
    """``(images, factors, noise)``: pictures in [−1, 1], the factors in their own units, the two effects' noise (n, 2)."""
    generator = torch.Generator().manual_seed(seed)
    uniform, noise = torch.rand(n, 2, generator=generator), torch.randn(n, 2, generator=generator)
    angle, light = 1.8 * uniform[:, 0] - 0.9, 3 + 9 * uniform[:, 1]
    factors = _effects(angle, light, noise)
    return render(factors, size), factors, noise


def do(factors: Float[Tensor, "b 4"], noise: Float[Tensor, "b 2"], which: int, value: float | Tensor) -> Float[Tensor, "b 4"]:
    """The factors had factor ``which`` been ``value`` (in its own units): its causes as they were, its effects anew with their own noise.

    Raises:
        ValueError: there is no such factor.
    """
    if not 0 <= which < len(FACTORS):
        raise ValueError(f"there are {len(FACTORS)} factors, 0 … 3 ({', '.join(FACTORS)}), got {which}")
    changed = factors.clone()
    changed[:, which] = value
    return _effects(changed[:, 0], changed[:, 1], noise) if which < 2 else changed


def _bob(angle: Tensor) -> tuple[Tensor, Tensor]:
    """Column and row of the end of a pendulum of length 5 that hangs at (7.5, 3)."""
    return 7.5 + 5 * angle.sin(), 3 + 5 * angle.cos()


def _effects(angle: Tensor, light: Tensor, noise: Tensor) -> Tensor:
    """The structural equations: both causes and the factors that follow from them."""
    bob, _ = _bob(angle)
    position = 7.5 + 0.75 * (bob - 7.5) - 0.45 * (light - 7.5) + 0.3 * noise[:, 0]
    length = 1 + 0.2 * (bob - light).abs() + 0.25 * noise[:, 1]
    return torch.stack([angle, light, position, length], dim=1)


def render(factors: Float[Tensor, "b 4"], size: int = 16) -> Float[Tensor, "b 1 {size} {size}"]:
    """Light in the top row, rod and bob, shadow on the floor, smooth in every factor; −1 is empty."""
    angle, light, position, length = (factor[:, None, None] for factor in factors.T)
    at = (torch.arange(size) + 0.5) * 16 / size - 0.5  # pixel centres; at size 16 these are 0 … 15
    row, column = at[:, None], at
    x, y = _bob(angle)
    blobs = [(light, torch.zeros_like(light), BLOB), (x, y, BLOB)]
    blobs += [(7.5 + s * (x - 7.5), 3 + s * (y - 3), DOT) for s in (0.25, 0.5, 0.75)]  # the rod, as three dots
    ink = torch.zeros(len(factors), size, size)
    for cx, cy, width in blobs:
        ink = torch.maximum(ink, torch.exp(-((column - cx) ** 2 + (row - cy) ** 2) / (2 * width**2)))
    shadow = torch.sigmoid((length - (column - position).abs()) * 4) * (row > 13.5)
    return (2 * torch.maximum(ink, shadow) - 1)[:, None]
