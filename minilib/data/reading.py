"""Made tasks about facts that have been read: follow a chain of documents, recall a binding.

``chain_qa``     documents "s → o" in some order and a question that needs one or several of them (lesson 05)
``recall_task``  bindings key → value, filler, then queries that look up once or several times (lesson 10)

Nothing to licence. Everything is drawn from the generator that is passed, and from nothing else. ``B`` examples, ``N`` documents,
``L`` positions, ``Q`` queries.
"""

import torch
from jaxtyping import Int
from torch import Tensor

__all__ = ["chain_qa", "recall_task"]

DEEPEST = 0.7  # share of the queries that need all hops


def chain_qa(
    generator: torch.Generator, B: int, chains: int = 3, hops: int = 2, order: str = "random", *, entities: int = 32
) -> tuple[Int[Tensor, "B N 2"], Int[Tensor, "B 2"], Int[Tensor, "B"], Int[Tensor, "B hops"]]:
    """Disjoint chains of ``hops`` + 1 entities; every edge is a document. The question is about the first chain.

    Args:
        order: of the documents. ``random``; ``forward`` or ``backward``: the same, but the first chain's documents stand on their places
            in the order of the chain or against it; ``all_forward``: so for every chain.

    Returns:
        documents (subject, object), question (start of the chain, how many hops: 1 … ``hops``), answer (the entity after so many hops),
        gold (where the first chain's documents stand, in the order of the chain).

    Raises:
        ValueError: an unknown order, or more entities asked for than there are.
    """
    if chains * (hops + 1) > entities:
        raise ValueError(f"{chains} chains of {hops + 1} need {chains * (hops + 1)} entities, there are {entities}")
    chain = torch.rand(B, entities, generator=generator).argsort(1)[:, : chains * (hops + 1)].view(B, chains, hops + 1)
    place = torch.rand(B, chains * hops, generator=generator).argsort(1).view(B, chains, hops)
    if order in ("forward", "backward"):
        place[:, 0] = place[:, 0].sort(1, descending=order == "backward").values
    elif order == "all_forward":
        place = place.sort(2).values
    elif order != "random":
        raise ValueError(f"unknown order {order!r}; choose random, forward, backward or all_forward")
    edges = torch.stack([chain[..., :-1], chain[..., 1:]], dim=-1).flatten(1, 2)
    documents = torch.empty_like(edges).scatter_(1, place.flatten(1)[..., None].expand_as(edges), edges)
    asked = torch.randint(1, hops + 1, (B,), generator=generator)
    answer = chain[torch.arange(B), 0, asked]
    return documents, torch.stack([chain[:, 0, 0], asked], dim=1), answer, place[:, 0]


def recall_task(
    generator: torch.Generator, B: int, K: int = 16, V: int = 16, bindings: int = 32, filler: int = 0, queries: int = 32, hops: int = 1
) -> tuple[Int[Tensor, "B L 2"], Int[Tensor, "B Q"]]:
    """Bindings in random order, filler, queries: every position is a pair (key, value).

    A key has one value in a sequence, however often the binding is repeated. Filler has the key K ("none") and random values. A query
    has a key and, for r look-ups, the value V − 1 + r ("?", "??", …); its target is the value v(k), v(v(k)) …. With ``hops`` > 1 the
    values are a permutation of the keys, and 70 % of the queries need all hops, the others fewer.

    Returns:
        tokens, and the targets of the last ``queries`` positions.

    Raises:
        ValueError: bindings that are no multiple of the keys, or several hops with K ≠ V.
    """
    if bindings % K:
        raise ValueError(f"every key is bound equally often: {bindings} bindings are no multiple of {K} keys")
    if hops > 1 and K != V:
        raise ValueError(f"with {hops} hops a value is the next key: K = {K} and V = {V} must be equal")
    if hops == 1:
        value = torch.randint(V, (B, K), generator=generator)
    else:
        value = torch.rand(B, K, generator=generator).argsort(1)
    bound = torch.rand(B, bindings, generator=generator).argsort(1) % K
    noise = torch.randint(V, (B, filler), generator=generator)
    asked = torch.randint(K, (B, queries), generator=generator)
    depth = torch.full((B, queries), hops)
    if hops > 1:
        fewer = torch.rand(B, queries, generator=generator) >= DEEPEST
        depth = torch.where(fewer, torch.randint(1, hops, (B, queries), generator=generator), depth)
    target = value.gather(1, asked)
    for r in range(2, hops + 1):
        target = torch.where(depth >= r, value.gather(1, target % K), target)
    parts = [(bound, value.gather(1, bound)), (torch.full_like(noise, K), noise), (asked, V - 1 + depth)]
    return torch.cat([torch.stack(part, dim=-1) for part in parts], dim=1), target
