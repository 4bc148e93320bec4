"""English text that every Python brings along: the language reference behind ``help()``.

Source: ``pydoc_data.topics`` of the standard library, some 460,000 characters. Licence: PSF License Agreement.
"""

import re
from collections import Counter
from dataclasses import dataclass
from functools import cache

import torch
from jaxtyping import Int
from torch import Tensor

__all__ = ["SPECIALS", "Text", "pydoc_text"]

SPECIALS = 24  # id 0 is BOS and padding, 1–23 are sentinels, blanks and markers that the lessons name
PATTERN = re.compile(r"[A-Za-z_]+|\d+|[^\sA-Za-z_\d]|\n\n")


@dataclass(frozen=True)
class Text:
    """A tokenised text in two parts that share no block: ``train`` and ``heldout``, each a list of contiguous runs of tokens."""

    vocabulary: list[str]
    train: list[Int[Tensor, "_"]]
    heldout: list[Int[Tensor, "_"]]

    @property
    def unknown(self) -> int:
        """The id of every token outside the vocabulary."""
        return len(self.vocabulary) - 1

    def encode(self, text: str) -> list[int]:
        """Ids of a text; what the vocabulary lacks becomes ``unknown``."""
        ids = {token: i for i, token in enumerate(self.vocabulary)}
        return [ids.get(token, self.unknown) for token in PATTERN.findall(text)]

    def decode(self, ids: Tensor | list[int]) -> str:
        """A readable text: blanks between words, none before punctuation."""
        words = [self.vocabulary[int(i)] for i in ids]
        return re.sub(r" ([.,;:)\]}!?'’])", r"\1", re.sub(r"([(\[{‘]) ", r"\1", " ".join(words).replace(" \n\n ", "\n\n")))

    def windows(self, T: int, *, part: str = "heldout", stride: int | None = None) -> Int[Tensor, "n T"]:
        """All windows of T tokens at multiples of ``stride`` (T by default), none across a boundary between runs."""
        runs = getattr(self, part)
        made = [run.unfold(0, T, stride or T) for run in runs if len(run) >= T]
        if not made:
            raise ValueError(f"no run of the {part} part holds {T} tokens; the longest has {max(map(len, runs))}")
        return torch.cat(made)

    def batch(self, generator: torch.Generator, B: int, T: int, *, part: str = "train") -> Int[Tensor, "B T"]:
        """B windows of T tokens at random places, none across a boundary between runs."""
        runs = [run for run in getattr(self, part) if len(run) >= T]
        ends = torch.tensor([len(run) - T + 1 for run in runs]).cumsum(0)
        at = torch.randint(int(ends[-1]), (B,), generator=generator)
        which = torch.searchsorted(ends, at, right=True)
        start = at - torch.cat([torch.tensor([0]), ends])[which]
        return torch.stack([runs[r][s : s + T] for r, s in zip(which.tolist(), start.tolist(), strict=True)])


@cache
def pydoc_text(V: int = 512, block: int = 1000, every: int = 10) -> Text:
    """Python's reference text in words: ids 0–23 special, then the most frequent tokens, the last id for all others.

    Args:
        V: size of the vocabulary; 512 covers about 87 % of the tokens.
        block, every: each ``every``-th block of ``block`` tokens is held out.
    """
    from pydoc_data.topics import topics

    words = PATTERN.findall("\n\n".join(topics[key] for key in sorted(topics)))
    frequent = [word for word, _ in Counter(words).most_common(V - SPECIALS - 1)]
    vocabulary = ["<s>", *(f"<{i}>" for i in range(1, SPECIALS)), *frequent, "<unk>"]
    ids = {token: i for i, token in enumerate(vocabulary)}
    tokens = torch.tensor([ids.get(word, V - 1) for word in words])
    chunks = tokens.split(block)
    train = [torch.cat(chunks[i + 1 : i + every]) for i in range(0, len(chunks), every) if i + 1 < len(chunks)]
    return Text(vocabulary, train, list(chunks[::every]))
