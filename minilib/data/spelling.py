"""Spell out: the source is a line of words, the target their letters. Many small outputs for each input (lesson 03; also lesson 04).

The words are the most frequent short ones of Python's language reference (``pydoc_data.topics``, PSF License Agreement) in the order of
that text, all others left out, so that their statistics are those of English. ``B`` examples, ``S`` words, ``T`` characters.
"""

import re
from collections import Counter
from dataclasses import dataclass
from functools import cache

import torch
from jaxtyping import Int
from torch import Tensor

__all__ = ["BOS", "PAD", "SPACE", "SpellOut", "spell_out"]

BOS, PAD, SPACE = 0, 1, 2  # then the letters a … z, then the words


@dataclass(frozen=True)
class SpellOut:
    """The vocabulary of both sides, and the words in the order of the text: ``train`` its first 90 %, ``heldout`` the rest."""

    vocabulary: list[str]
    train: Int[Tensor, "train"]
    heldout: Int[Tensor, "heldout"]

    def spelled(self, words: Int[Tensor, "b s"], T: int) -> Int[Tensor, "b {T}"]:
        """The letters of the words, joined by spaces, cut or filled with PAD to T characters."""
        rows = []
        for row in words.tolist():
            text = " ".join(self.vocabulary[word] for word in row)[:T]
            rows.append([SPACE if c == " " else SPACE + 1 + ord(c) - ord("a") for c in text] + [PAD] * (T - len(text)))
        return torch.tensor(rows).view(len(words), T)

    def batch(
        self, generator: torch.Generator, B: int, S: int = 8, T: int = 44, *, part: str = "train"
    ) -> tuple[Int[Tensor, "{B} {S}"], Int[Tensor, "{B} {T}"]]:
        """``(source, target)``: S consecutive words from random places, and their letters."""
        stream = getattr(self, part)
        start = torch.randint(len(stream) - S + 1, (B, 1), generator=generator)
        source = stream[start + torch.arange(S)]
        return source, self.spelled(source, T)

    def decode(self, ids: Int[Tensor, "l"] | list[int]) -> str:
        """Characters side by side, words with blanks; ``$`` is PAD, ``^`` is BOS."""
        tokens = [self.vocabulary[int(i)] for i in ids]
        return "".join(token if len(token) == 1 else token + " " for token in tokens)


@cache
def spell_out(words: int = 60) -> SpellOut:
    """The data with the ``words`` most frequent lower-case words of 2 to 7 letters."""
    from pydoc_data.topics import topics

    text = " ".join(topics[key] for key in sorted(topics))
    stream = re.findall(r"(?<![A-Za-z_])[a-z]{2,7}(?![A-Za-z_])", text)
    frequent = [word for word, _ in Counter(stream).most_common(words)]
    vocabulary = ["^", "$", " ", *(chr(ord("a") + i) for i in range(26)), *frequent]
    ids = {word: len(vocabulary) - words + i for i, word in enumerate(frequent)}
    kept = torch.tensor([ids[word] for word in stream if word in ids])
    return SpellOut(vocabulary, kept[: (cut := len(kept) * 9 // 10)], kept[cut:])
