"""Small real images: handwritten digits and two photographs, both from scikit-learn; and scenes put together from digits.

Digits: 1,797 images of 8 × 8 pixels with 17 grey levels, from the test set of the *Optical Recognition of Handwritten Digits* data
(E. Alpaydin and C. Kaynak, UCI Machine Learning Repository, CC BY 4.0). Photos: a temple in China and a dahlia, 427 × 640 pixels (CC BY,
authors named in scikit-learn's own folder). Scenes: one whole digit among fragments of others; the place of the digit is known, so that
an explanation of a model's answer can be judged (lessons 47 and 48).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

__all__ = ["Digits", "digits", "photos", "scenes"]

FRAGMENT = 4  # side of a distractor


@dataclass(frozen=True)
class Digits:
    """Images (n, 8, 8) in [0, 1] and their labels 0–9, in three parts."""

    train: tuple[Float[Tensor, "train 8 8"], Int[Tensor, "train"]]
    validation: tuple[Float[Tensor, "validation 8 8"], Int[Tensor, "validation"]]
    test: tuple[Float[Tensor, "test 8 8"], Int[Tensor, "test"]]


def digits(seed: int = 0, *, n_validation: int = 200, n_test: int = 400) -> Digits:
    """The digits, shuffled with ``seed`` and split 1,197 / 200 / 400.

    The vision lessons (46–49) need no validation part: ``digits(n_validation=0, n_test=360)`` is their split 1,437 / 0 / 360.
    """
    data = _scikit_learn("load_digits")()
    images, labels = torch.tensor(data.images, dtype=torch.float32) / 16, torch.tensor(data.target)
    n_train = len(images) - n_validation - n_test
    if min(n_train - 1, n_validation, n_test) < 0:
        raise ValueError(f"{n_validation} validation and {n_test} test images leave none of the {len(images)} digits for training")
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    parts = [(images[i], labels[i]) for i in order.split([n_train, n_validation, n_test])]
    return Digits(*parts)


def scenes(
    X: Float[Tensor, "n 8 8"],
    idx: Int[Tensor, "b"],
    g: torch.Generator,
    size: int = 12,
    clutter: int = 2,
    step: int = 4,
    *,
    return_lures: bool = False,
) -> tuple[Tensor, ...]:
    """``(S, box)``: the digits ``X[idx]`` on black canvases (b, size, size), among fragments of other images of X.

    First ``clutter`` fragments, 4 × 4 crops of random images from random offsets, at offsets that are multiples of 2; then the whole
    digit, opaque, at an offset that is a multiple of ``step``; ``box`` (b, 2) is its row and column.

    Args:
        return_lures: return the fragments' images, indices into X (b, clutter), as a third tensor.

    Raises:
        ValueError: the canvas is smaller than a digit.
    """
    B, side = len(idx), X.shape[1]
    if size < side:
        raise ValueError(f"a digit of {side} × {side} pixels does not fit on a canvas of {size} × {size}")
    S = X.new_zeros(B, size, size)
    sources = torch.randint(len(X), (B, clutter), generator=g)
    for source in sources.T:
        crop = _window(torch.randint(side - FRAGMENT + 1, (B, 2), generator=g), FRAGMENT)
        place = _window(2 * torch.randint((size - FRAGMENT) // 2 + 1, (B, 2), generator=g), FRAGMENT)
        S[place] = X[source][crop]
    box = step * torch.randint((size - side) // step + 1, (B, 2), generator=g)
    S[_window(box, side)] = X[idx]
    return (S, box, sources) if return_lures else (S, box)


def photos() -> Float[Tensor, "2 3 427 640"]:
    """Two colour photographs, channels first, values in [0, 1]."""
    data = _scikit_learn("load_sample_images")()
    return torch.stack([torch.tensor(image).permute(2, 0, 1) for image in data.images]).float() / 255


def _window(corner: Int[Tensor, "b 2"], side: int) -> tuple[Tensor, Tensor, Tensor]:
    """Indices (batch, rows, columns) of a square at a place of its own in every image."""
    along = torch.arange(side)
    batch = torch.arange(len(corner))[:, None, None]
    return batch, (corner[:, :1] + along)[:, :, None], (corner[:, 1:] + along)[:, None, :]


def _scikit_learn(name: str):
    try:
        from sklearn import datasets
    except ImportError:
        raise ImportError("the digits and photos come with scikit-learn: pip install scikit-learn pillow") from None
    return getattr(datasets, name)
