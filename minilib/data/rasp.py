"""Small algorithmic tasks on sequences, each solvable by a short RASP program (lesson 40).

``rasp_task(name, …)`` with ``reverse``, ``sort``, ``hist`` (how often does my token occur?), ``double_hist`` (how many different tokens
occur as often as mine?), ``most_freq`` (the different tokens, the most frequent first, ties by first occurrence), ``dyck1``, ``dyck2``
(is what was read so far balanced, still possible, or failed?), ``induction`` (which digit followed this letter last time?).

After Weiss et al. (2021) as used by Friedman et al. (2023, §4); made here, nothing to licence. ``n`` sequences, ``N`` positions, ``V``
tokens: 0 PAD, 1 BOS, then, for reverse and sort only, 2 EOS; the rest are symbols.
"""

import torch
from jaxtyping import Int
from torch import Tensor

__all__ = ["BALANCED", "BOS", "EOS", "FAILED", "PAD", "POSSIBLE", "TASKS", "UNKNOWN", "rasp_task"]

PAD, BOS, EOS = 0, 1, 2
BALANCED, POSSIBLE, FAILED = 1, 2, 3  # labels of the Dyck tasks
UNKNOWN = 1  # label of a letter that has not been seen
TASKS = ("reverse", "sort", "hist", "double_hist", "most_freq", "dyck1", "dyck2", "induction")


def rasp_task(name: str, n: int, N: int = 8, V: int = 8, seed: int = 0) -> tuple[Int[Tensor, "{n} {N}"], Int[Tensor, "{n} {N}"]]:
    """``(X, Y)``: n sequences that start with BOS, and a label for every position, PAD where there is none.

    Lengths are uniform; brackets always fill N positions (half of the sequences are random, half may still be completed). ``induction``
    has the letters 2 … V/2 and as many digits from V/2 + 1 on, in turn, and ends with a letter; Y is the digit that followed the letter's
    latest occurrence, else ``UNKNOWN``. The Dyck tasks and their alphabet ignore V.

    Raises:
        ValueError: an unknown task, or no room for a symbol.
    """
    if name not in TASKS:
        raise ValueError(f"unknown task {name!r}; choose one of {', '.join(TASKS)}")
    if N < 4 or V < 6:
        raise ValueError(f"a sequence needs N of at least 4 and V of at least 6, got {N} and {V}")
    generator = torch.Generator().manual_seed(seed)
    if name.startswith("dyck"):
        return _dyck(generator, n, N, kinds=int(name[-1]))
    if name == "induction":
        return _induction(generator, n, N, V)
    ends = name in ("reverse", "sort")
    length = torch.randint(1, N - ends, (n, 1), generator=generator)
    at = torch.arange(N)
    X = torch.randint(EOS + ends, V, (n, N), generator=generator)
    X = X.masked_fill(at > length, PAD)
    X[:, 0] = BOS
    symbol = (at >= 1) & (at <= length)
    if ends:
        X.scatter_(1, length + 1, EOS)
    make = {"reverse": _reverse, "sort": _sort, "hist": _hist, "double_hist": _double_hist, "most_freq": _most_frequent}[name]
    return X, make(X, symbol)


def _reverse(X: Tensor, symbol: Tensor) -> Tensor:
    back = symbol.sum(1, keepdim=True) + 1 - torch.arange(X.shape[1])
    return X.gather(1, back.clamp(min=0)) * symbol


def _sort(X: Tensor, symbol: Tensor) -> Tensor:
    last = torch.iinfo(X.dtype).max
    in_order = X.masked_fill(~symbol, last).sort(1).values.roll(1, dims=1)  # BOS keeps position 0
    return in_order * symbol


def _same(X: Tensor, symbol: Tensor) -> Tensor:
    """(n, N, N): do two positions hold the same symbol?"""
    return (X[:, :, None] == X[:, None, :]) & symbol[:, :, None] & symbol[:, None, :]


def _hist(X: Tensor, symbol: Tensor) -> Tensor:
    return _same(X, symbol).sum(2)


def _double_hist(X: Tensor, symbol: Tensor) -> Tensor:
    same = _same(X, symbol)
    first = symbol & ~same.tril(-1).any(2)  # each token counts once, where it stands first
    count = same.sum(2)
    return ((count[:, :, None] == count[:, None, :]) & first[:, None, :]).sum(2) * symbol


def _most_frequent(X: Tensor, symbol: Tensor) -> Tensor:
    N = X.shape[1]
    same = _same(X, symbol)
    first = symbol & ~same.tril(-1).any(2)
    rank = torch.where(first, same.sum(2) * N - torch.arange(N), -N)  # frequent first, then early
    order = rank.argsort(1, descending=True)
    return (X.gather(1, order) * first.gather(1, order)).roll(1, dims=1)


def _dyck(generator: torch.Generator, n: int, N: int, kinds: int) -> tuple[Tensor, Tensor]:
    """Brackets of ``kinds`` kinds: kind k opens with 2 + 2k and closes with 3 + 2k. One step a position, all sequences at once."""
    X, Y = torch.full((n, N), BOS), torch.zeros(n, N, dtype=torch.long)
    stack, depth = torch.zeros(n, N, dtype=torch.long), torch.zeros(n, dtype=torch.long)
    failed, row = torch.zeros(n, dtype=torch.bool), torch.arange(n)
    careful = row % 2 == 0  # never closes what is not open
    for t in range(1, N):
        kind = torch.randint(kinds, (n,), generator=generator)
        closing = torch.rand(n, generator=generator) < 0.5
        top = stack[row, depth - 1]
        kind = torch.where(careful & closing & (depth > 0), top, kind)
        closing &= ~careful | (depth > 0)
        failed |= closing & ((depth == 0) | (kind != top))
        stack[row, depth] = torch.where(closing, stack[row, depth], kind)
        depth = (depth + torch.where(closing, -1, 1)).clamp(min=0)
        X[:, t] = 2 + 2 * kind + closing
        Y[:, t] = torch.where(failed, FAILED, torch.where(depth == 0, BALANCED, POSSIBLE))
    return X, Y


def _induction(generator: torch.Generator, n: int, N: int, V: int) -> tuple[Tensor, Tensor]:
    kinds, at = (V - 2) // 2, torch.arange(N)
    letters = torch.randint(2, N // 2 + 1, (n, 1), generator=generator)
    letter = (at % 2 == 1) & (at < 2 * letters)
    X = torch.randint(2, 2 + kinds, (n, N), generator=generator) + kinds * (at % 2 == 0)
    X = X.masked_fill(at >= 2 * letters, PAD)
    X[:, 0] = BOS
    before = _same(X, letter).tril(-1)
    latest = (before * at).amax(2)
    answer = X.gather(1, (latest + 1).clamp(max=N - 1))
    return X, torch.where(before.any(2), answer, UNKNOWN) * letter
