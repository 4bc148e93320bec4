"""Tasks that are made, not collected: each isolates one thing that a sequence model must be able to do. Nothing to licence.

``induction_heads``     what followed this token last time? (Olsson et al. 2022; as in Gu and Dao 2023, §4.1.2)
``selective_copying``   repeat the tokens that matter, which stand at random places among noise (Gu and Dao 2023, §4.1.1)

Everything is drawn from the generator that is passed, and from nothing else. ``B`` sequences, ``L`` positions, ``M`` data tokens.
"""

import torch
from jaxtyping import Int
from torch import Tensor

__all__ = ["induction_heads", "selective_copying"]


def induction_heads(
    generator: torch.Generator, B: int, L: int, *, kinds: int = 8
) -> tuple[Int[Tensor, "B L"], Int[Tensor, "B"], Int[Tensor, "B"]]:
    """Random tokens 1 … ``kinds``; token 0 stands at one random position and again at the end.

    Returns:
        tokens, the target (what followed the first 0; belongs to the last position), and the position of the first 0.
    """
    if L < 3:
        raise ValueError(f"the special token, its follower and the question need L of at least 3, got {L}")
    tokens = torch.randint(1, kinds + 1, (B, L), generator=generator)
    at, row = torch.randint(L - 2, (B,), generator=generator), torch.arange(B)
    tokens[row, at], tokens[:, -1] = 0, 0
    return tokens, tokens[row, at + 1], at


def selective_copying(
    generator: torch.Generator, B: int, L: int = 32, M: int = 4, *, kinds: int = 8
) -> tuple[Int[Tensor, "B T"], Int[Tensor, "B M"]]:
    """``L`` positions of noise (0) with ``M`` data tokens (2 … ``kinds`` + 1) at random places, then ``M`` queries (1).

    Returns:
        tokens, and the targets of the queries: the data tokens in their order.
    """
    if M > L:
        raise ValueError(f"{M} data tokens do not fit into {L} positions")
    places = torch.rand(B, L, generator=generator).argsort(dim=1)[:, :M].sort(dim=1).values
    data = torch.randint(2, kinds + 2, (B, M), generator=generator)
    noise = torch.zeros(B, L, dtype=torch.long).scatter(1, places, data)
    return torch.cat([noise, torch.ones(B, M, dtype=torch.long)], dim=1), data
