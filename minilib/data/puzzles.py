"""Sudoku of side 4, 6 or 9: grids, a solver that never guesses, and the same solution written in three orders (lesson 39).

``grids``  solved grids, those for testing no relabelling of any for training    ``candidates``  what may stand in each empty cell
``solve``  whole batches at once, cell by cell, with the order in which it went  ``sudoku``      puzzles as tokens

A board is (N, n²) cells in reading order, values 0 … n − 1, −1 for empty. In the solver a set of values is one integer with a bit a value.
Made here, nothing to licence. Strategies after Shah et al. (2024, §3). ``N`` puzzles, ``n`` side, ``C`` = n² cells, ``g`` givens.
"""

import itertools
from dataclasses import dataclass
from functools import cache

import torch
from jaxtyping import Bool, Int
from torch import Tensor

__all__ = ["Sudoku", "candidates", "grids", "solve", "sudoku"]

BOXES = {4: (2, 2), 6: (2, 3), 9: (3, 3)}  # side: (rows, columns) of a box
FOLDS = 5  # every fifth class of grids is for testing


def _box_shape(n: int) -> tuple[int, int]:
    if n not in BOXES:
        raise ValueError(f"the side n must be 4, 6 or 9, got {n}")
    return BOXES[n]


# -------------------------------------------------------------------------------------------------------------------------- grids


def grids(generator: torch.Generator, N: int, n: int = 4, split: str = "train") -> Int[Tensor, "{N} {n*n}"]:
    """N solved grids drawn at random. Grids that differ only in the names of their values are all in ``train`` or all in ``test``.

    Side 4: from all 288 grids, 72 of them for testing. Sides 6 and 9: one grid under random exchanges of rows, columns, bands and stacks.
    """
    if split not in ("train", "test"):
        raise ValueError(f"unknown split {split!r}; choose train or test")
    if n == 4:
        pool = torch.tensor([grid for i, grid in enumerate(_classes()) if (i % FOLDS == 0) == (split == "test")])
        plain = pool[torch.randint(len(pool), (N,), generator=generator)]
    else:
        plain = _exchanged(generator, N, n, split)
    names = torch.rand(N, n, generator=generator).argsort(1)
    return names.gather(1, plain)


@cache
def _classes() -> list[tuple[int, ...]]:
    """The 12 grids of side 4 whose first row is 0 1 2 3; renaming the values makes all 288 of them."""
    rows = list(itertools.permutations(range(4)))
    made = []
    for below in itertools.product(rows, repeat=3):
        grid = ((0, 1, 2, 3), *below)
        columns = zip(*grid, strict=True)
        boxes = ({grid[r + i][c + j] for i in (0, 1) for j in (0, 1)} for r in (0, 2) for c in (0, 2))
        if all(len(set(column)) == 4 for column in columns) and all(len(box) == 4 for box in boxes):
            made.append(tuple(itertools.chain(*grid)))
    return made


def _exchanged(generator: torch.Generator, N: int, n: int, split: str) -> Tensor:
    h, w = _box_shape(n)
    r, c = torch.arange(n)[:, None], torch.arange(n)
    base = (w * (r % h) + r // h + c) % n
    weights = torch.randint(1, 2**20, (n * n,), generator=torch.Generator().manual_seed(0))
    found: list[Tensor] = []
    while sum(map(len, found)) < N:
        rows, columns = _exchange(generator, 2 * N, n, h), _exchange(generator, 2 * N, n, w)
        grid = base[rows[:, :, None], columns[:, None, :]].flatten(1)
        renamed = grid[:, :n].argsort(1).gather(1, grid)  # first row 0 1 2 …: equal for all grids of a class
        tested = (renamed * weights).sum(1) % FOLDS == 0
        found.append(renamed[tested == (split == "test")])
    return torch.cat(found)[:N]


def _exchange(generator: torch.Generator, N: int, n: int, size: int) -> Tensor:
    """(N, n): groups of ``size`` lines in random order, and the lines in each group."""
    group = torch.rand(N, n // size, generator=generator).argsort(1)
    within = torch.rand(N, n // size, size, generator=generator).argsort(2)
    return (group[..., None] * size + within).flatten(1)


# ------------------------------------------------------------------------------------------------------------------------- solver


def _box_view(grid: Int[Tensor, "N n n"]) -> Int[Tensor, "N bands h stacks w"]:
    n = grid.shape[1]
    h, w = _box_shape(n)
    return grid.unflatten(2, (n // w, w)).unflatten(1, (n // h, h))


def _sets(bits: Int[Tensor, "N n n"]) -> Int[Tensor, "N n n"]:
    """From the values written so far, as bits, to the candidates. No value stands twice in a unit: a sum of bits is their union."""
    boxes = _box_view(bits)
    box = boxes.sum((2, 4), keepdim=True, dtype=bits.dtype).expand_as(boxes).flatten(3).flatten(1, 2)
    seen = bits.sum(2, keepdim=True, dtype=bits.dtype) | bits.sum(1, keepdim=True, dtype=bits.dtype) | box
    return (((1 << bits.shape[1]) - 1) & ~seen).masked_fill(bits > 0, 0)


def _once(sets: Int[Tensor, "..."], dims: tuple[int, ...]) -> Int[Tensor, "..."]:
    """The values that exactly one cell along ``dims`` may hold."""
    one, more = torch.zeros((), dtype=sets.dtype), torch.zeros((), dtype=sets.dtype)
    for cell in itertools.product(*(range(sets.shape[d]) for d in dims)):
        this = sets
        for d, i in zip(dims, cell, strict=True):
            this = this.narrow(d, i, 1)
        more, one = more | one & this, one | this
    return one & ~more


def _writable(sets: Int[Tensor, "N n n"], hidden: bool) -> Int[Tensor, "N n n"]:
    """The values that can be written now: a cell's only candidate, or with ``hidden`` the value of which a unit has only one place."""
    easy = torch.where(sets & (sets - 1) == 0, sets, 0)  # one bit or none
    if hidden:
        boxes = _box_view(sets)
        box = (boxes & _once(boxes, (2, 4))).flatten(3).flatten(1, 2)
        easy = easy | sets & (_once(sets, (1,)) | _once(sets, (2,)) | box)
    return easy


def _bits(board: Int[Tensor, "N C"], n: int) -> Int[Tensor, "N {n} {n}"]:
    _box_shape(n)
    return torch.where(board >= 0, 1 << board.clamp(min=0), 0).to(torch.int16).view(-1, n, n)


def candidates(board: Int[Tensor, "N C"], n: int = 4) -> Bool[Tensor, "N C {n}"]:
    """The values that stand neither in the row nor in the column nor in the box of an empty cell; none for a filled one."""
    return (_sets(_bits(board, n)).flatten(1)[..., None] >> torch.arange(n) & 1).bool()


def solve(
    board: Int[Tensor, "N C"], generator: torch.Generator, n: int = 4, *, hidden: bool = False
) -> tuple[Int[Tensor, "N C"], Int[Tensor, "N C"]]:
    """``(solved, order)``: fill one cell a step, at random among those that can be decided, until nothing more can.

    A cell can be decided when it is a lone single (one candidate left), or with ``hidden`` a hidden single as well. ``order`` lists the
    filled cells, −1 behind the last. A puzzle that this does not solve keeps empty cells.
    """
    board, order, bits = board.clone(), torch.full_like(board, -1), _bits(board, n)
    going = torch.arange(len(board))  # the puzzles in which something can still be decided
    for step in range(n * n):
        easy = _writable(_sets(bits[going]), hidden).flatten(1)
        more = (easy > 0).any(1)
        going, easy = going[more], easy[more]
        if not len(going):
            break
        cell = (torch.rand(easy.shape, generator=generator) + (easy > 0)).argmax(1)
        bit = easy.gather(1, cell[:, None])[:, 0]
        bit = bit & -bit  # one is enough
        bits.flatten(1)[going, cell] = bit
        board[going, cell] = bit.float().log2().long()
        order[going, step] = cell
    return board, order


# ------------------------------------------------------------------------------------------------------------------------ puzzles


@dataclass(frozen=True)
class Sudoku:
    """Puzzles and their text. Token c < n² asks for cell c, token n² + n·c + v says that v stands in cell c."""

    tokens: Int[Tensor, "N T"]  # g tokens (the givens), then for every empty cell its question and its answer
    solution: Int[Tensor, "N C"]
    given: Bool[Tensor, "N C"]
    order: Int[Tensor, "N C"]  # cells in the order of the text


def sudoku(
    generator: torch.Generator, N: int, n: int = 4, givens: int = 6, split: str = "train", order: str = "solver", *, hidden: bool = False
) -> Sudoku:
    """N puzzles with ``givens`` random givens that ``solve`` can solve, written in one of three orders.

    Args:
        order: of the cells. ``fixed``: reading order, givens and answers both; ``random``: both shuffled; ``solver``: shuffled givens, then
            as the solver filled them.
        hidden: let the solver use hidden singles (they are never needed at side 4).

    Raises:
        ValueError: an unknown order, or nothing of 20 batches could be solved.
    """
    if order not in ("fixed", "random", "solver"):
        raise ValueError(f"unknown order {order!r}; choose fixed, random or solver")
    C, tries = n * n, 0
    found: list[tuple[Tensor, Tensor, Tensor]] = []
    while sum(len(part[0]) for part in found) < N:
        grid = grids(generator, N, n, split)
        given = torch.rand(N, C, generator=generator).argsort(1).argsort(1) < givens
        solved, steps = solve(torch.where(given, grid, -1), generator, n, hidden=hidden)
        fine = (solved == grid).all(1)
        found.append((grid[fine], given[fine], steps[fine]))
        if (tries := tries + 1) == 20 and not any(len(part[0]) for part in found):
            raise ValueError(f"no puzzle of side {n} with {givens} givens was solved; give more, or hidden=True")
    solution, given, steps = (torch.cat(parts)[:N] for parts in zip(*found, strict=True))
    if order == "solver":
        rank = torch.empty(N, C + 1, dtype=torch.long).scatter_(1, steps % (C + 1), torch.arange(C).expand(N, C))[:, :C].float()
    else:
        rank = torch.arange(C).expand(N, C).float()
    if order != "fixed":
        shuffled = torch.rand(N, C, generator=generator)
        rank = torch.where(given, shuffled, rank) if order == "solver" else shuffled
    cells = (rank - C * given).argsort(1)  # givens first
    placed = C + n * cells + solution.gather(1, cells)
    answers = torch.stack([cells, placed], dim=2)[:, givens:].flatten(1)
    return Sudoku(torch.cat([placed[:, :givens], answers], dim=1), solution, given, cells)
