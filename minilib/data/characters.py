"""The text of ``minilib.data.text``, letter by letter: what the language models of chapter 02 read (lessons 08–12).

Source: ``pydoc_data.topics`` of the standard library, some 460,000 characters. Licence: PSF License Agreement.
"""

from functools import cache

import torch

from minilib.data.text import Text

__all__ = ["pydoc_characters"]


@cache
def pydoc_characters(block: int = 5000, every: int = 10) -> Text:
    """Python's reference text in characters, the vocabulary in the order of their code points; no id is special.

    Args:
        block, every: each ``every``-th block of ``block`` characters is held out.
    """
    from pydoc_data.topics import topics

    letters = "\n\n".join(topics[key] for key in sorted(topics))
    vocabulary = sorted(set(letters))
    ids = {letter: i for i, letter in enumerate(vocabulary)}
    chunks = torch.tensor([ids[letter] for letter in letters]).split(block)
    train = [torch.cat(chunks[i + 1 : i + every]) for i in range(0, len(chunks), every) if i + 1 < len(chunks)]
    return Text(vocabulary, train, list(chunks[::every]))
