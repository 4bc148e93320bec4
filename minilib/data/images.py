"""Small real images: handwritten digits and two photographs, both from scikit-learn.

Digits: 1,797 images of 8 × 8 pixels with 17 grey levels, from the test set of the *Optical Recognition of Handwritten Digits* data
(E. Alpaydin and C. Kaynak, UCI Machine Learning Repository, CC BY 4.0). Photos: a temple in China and a dahlia, 427 × 640 pixels (CC BY,
authors named in scikit-learn's own folder).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

__all__ = ["Digits", "digits", "photos"]


@dataclass(frozen=True)
class Digits:
    """Images (n, 8, 8) in [0, 1] and their labels 0–9, in three parts."""

    train: tuple[Float[Tensor, "n 8 8"], Int[Tensor, "n"]]
    validation: tuple[Float[Tensor, "n 8 8"], Int[Tensor, "n"]]
    test: tuple[Float[Tensor, "n 8 8"], Int[Tensor, "n"]]


def digits(seed: int = 0) -> Digits:
    """The digits, shuffled with ``seed`` and split 1,197 / 200 / 400."""
    data = _scikit_learn("load_digits")()
    images, labels = torch.tensor(data.images, dtype=torch.float32) / 16, torch.tensor(data.target)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    parts = [(images[i], labels[i]) for i in order.split([1197, 200, 400])]
    return Digits(*parts)


def photos() -> Float[Tensor, "2 3 427 640"]:
    """Two colour photographs, channels first, values in [0, 1]."""
    data = _scikit_learn("load_sample_images")()
    return torch.stack([torch.tensor(image).permute(2, 0, 1) for image in data.images]).float() / 255


def _scikit_learn(name: str):
    try:
        from sklearn import datasets
    except ImportError:
        raise ImportError("the digits and photos come with scikit-learn: pip install scikit-learn pillow") from None
    return getattr(datasets, name)
