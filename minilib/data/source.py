"""Program text that every Python brings along: the source of its standard library.

``module_source``   the text of one module                ``stdlib_modules``  which module is this window of tokens from? (lesson 11)

Source: the running Python, whose standard library is under the PSF License Agreement. Versions of Python differ in it, so that figures
measured on it move a little from one to the next.
"""

import re
from collections import Counter
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import torch
from jaxtyping import Int
from torch import Tensor

__all__ = ["MODULES", "module_source", "stdlib_modules"]

MODULES = (
    *("argparse", "_pydecimal", "typing", "inspect", "tarfile", "turtle", "doctest", "optparse", "pickletools", "subprocess"),
    *("zipfile", "mailbox"),
)
PARTS = {"train": (0.0, 0.7), "validation": (0.7, 0.8), "test": (0.8, 1.0)}  # of every file, in its order


def module_source(name: str) -> str:
    """The source text of a module of the standard library, read without importing it.

    Raises:
        ImportError: this Python has no source of it; the message says so.
    """
    spec = find_spec(name)
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        raise ImportError(f"this Python has no source text of the module {name}; a Python from python.org or conda has")
    return Path(spec.origin).read_text(encoding="utf-8")


@cache
def _tokens(V: int) -> dict[str, list[Tensor]]:
    """For each part the token ids of every module."""
    texts = [re.findall(r"\w+|[^\w\s]", module_source(name)) for name in MODULES]
    cut = {part: [text[int(a * len(text)) : int(b * len(text))] for text in texts] for part, (a, b) in PARTS.items()}
    frequent = Counter(token for text in cut["train"] for token in text).most_common(V - 1)
    ids = {token: i for i, (token, _) in enumerate(frequent)}
    return {part: [torch.tensor([ids.get(token, V - 1) for token in text]) for text in runs] for part, runs in cut.items()}


def stdlib_modules(
    generator: torch.Generator, per_module: int, N: int = 128, split: str = "train", *, V: int = 500
) -> tuple[Int[Tensor, "n {N}"], Int[Tensor, "n"]]:
    """``(windows, labels)``: from each of the 12 ``MODULES`` so many windows of N tokens at random places, and the module's number.

    A token is a word or a single symbol: the V − 1 most frequent of the training part, and V − 1 for all others.

    Args:
        split: ``train`` (the first 70 % of every file), ``validation`` (the next 10 %) or ``test`` (the rest).

    Raises:
        ValueError: an unknown split, or a file whose part is shorter than N.
    """
    if split not in PARTS:
        raise ValueError(f"unknown split {split!r}; choose one of {', '.join(PARTS)}")
    windows = []
    for name, run in zip(MODULES, _tokens(V)[split], strict=True):
        if len(run) < N:
            raise ValueError(f"the {split} part of {name} holds {len(run)} tokens, fewer than the {N} of a window")
        start = torch.randint(len(run) - N + 1, (per_module, 1), generator=generator)
        windows.append(run[start + torch.arange(N)])
    return torch.cat(windows), torch.arange(len(MODULES)).repeat_interleave(per_module)
