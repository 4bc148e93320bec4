"""Graphs that change in time: a stream of events, cut into patches, read by message passing, regrouped for a transformer.

``patchify_events``  equal counts of events, in time order     ``disjoint_union``  all patches as one graph
``TimeCode``         learned cosines of a time difference      ``undirected``      each event in both directions
``scatter_softmax``  softmax over the edges into a node        ``GraphAttention``  one layer of message passing
``pack`` ``unpack``  from tokens a patch to tokens a node, and back

Follows Biparva et al. (2024, Todyformer, §3); the formulas inside a layer are ours, the time code is that of Xu et al. (2020, TGAT).

``n`` nodes, ``E`` events (edges) from node ``src`` to node ``dst`` at time ``t``, ``M`` patches, ``D`` width, ``H`` heads, ``K`` = D/H,
``C`` numbers that describe an edge. A node token of patch m has number m·n + node.
"""

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

__all__ = [
    "GraphAttention",
    "TimeCode",
    "disjoint_union",
    "pack",
    "patchify_events",
    "scatter_softmax",
    "undirected",
    "unpack",
]

Events = tuple[Tensor, Tensor, Tensor]  # src, dst, t, each (E,)


# ------------------------------------------------------------------------------------------------------------------------- events


def patchify_events(src: Int[Tensor, "E"], dst: Int[Tensor, "E"], t: Float[Tensor, "E"], M: int) -> list[Events]:
    """M consecutive patches with equally many events, up to one; events at the same time keep their order.

    With fewer events than patches some are empty.

    Raises:
        ValueError: M is less than 1.
    """
    if M < 1:
        raise ValueError(f"events are cut into at least one patch, got M = {M}")
    order = t.argsort(stable=True)
    bounds = [m * len(t) // M for m in range(M + 1)]
    return [(src[i], dst[i], t[i]) for i in (order[a:b] for a, b in zip(bounds[:-1], bounds[1:], strict=True))]


def disjoint_union(graphs: list[Events], n: int) -> tuple[Int[Tensor, "E"], Int[Tensor, "E"], Float[Tensor, "E"], Int[Tensor, "E"]]:
    """``(src, dst, t, which)``: graphs on the same n nodes side by side as one, nodes of graph m shifted by m·n; ``which`` is m."""
    which = torch.cat([torch.full_like(src, m) for m, (src, _, _) in enumerate(graphs)])
    src, dst, t = (torch.cat(parts) for parts in zip(*graphs, strict=True))
    return src + which * n, dst + which * n, t, which


def undirected(
    src: Int[Tensor, "E"], dst: Int[Tensor, "E"], z: Float[Tensor, "E c"]
) -> tuple[Int[Tensor, "2*E"], Int[Tensor, "2*E"], Float[Tensor, "2*E c"]]:
    """Every edge there and back, with the same description."""
    return torch.cat([src, dst]), torch.cat([dst, src]), torch.cat([z, z])


# ---------------------------------------------------------------------------------------------------------------- message passing


class TimeCode(nn.Module):
    """``cos(ω τ + b)``, both learned: (…) → (…, k). At the start the slowest of the k waves falls for a quarter turn over ``span``.

    Give it differences of times, and a common shift of all clocks changes nothing.
    """

    def __init__(self, k: int, span: float = 1.0):
        super().__init__()
        self.omega = nn.Parameter(torch.arange(1, k + 1) * (math.pi / (2 * span)))
        self.phase = nn.Parameter(torch.zeros(k))

    def forward(self, tau: Float[Tensor, "*b"]) -> Float[Tensor, "*b k"]:
        return torch.cos(tau[..., None] * self.omega + self.phase)


def scatter_softmax(score: Float[Tensor, "E *h"], dst: Int[Tensor, "E"], n: int) -> Float[Tensor, "E *h"]:
    """For every node the softmax over the edges that end in it: the weights of each destination sum to 1.

    Raises:
        ValueError: an edge ends outside 0 … n − 1.
    """
    if len(dst) and not 0 <= int(dst.min()) <= int(dst.max()) < n:
        raise ValueError(f"edges must end in nodes 0 … {n - 1}, got {int(dst.min())} … {int(dst.max())}")
    index = dst.view(-1, *[1] * (score.ndim - 1)).expand_as(score)
    zeros = score.new_zeros(n, *score.shape[1:])
    largest = zeros.scatter_reduce(0, index, score.detach(), "amax", include_self=False)
    weight = (score - largest[dst]).exp()
    return weight / zeros.index_add(0, dst, weight)[dst]


class GraphAttention(nn.Module):
    """One layer of message passing: (n, D) → (n, D). A node attends to the edges that end in it; then an MLP; both with pre-norm.

    An edge offers the state of its source beside its own description z, for instance a ``TimeCode``. A node that no edge reaches gets
    nothing from attention.
    """

    def __init__(self, d: int, heads: int, c: int, *, f: int | None = None):
        super().__init__()
        if d % heads:
            raise ValueError(f"the width {d} is not a multiple of {heads} heads")
        self.heads = heads
        self.norm1, self.q, self.kv = nn.LayerNorm(d), nn.Linear(d, d, bias=False), nn.Linear(d + c, 2 * d, bias=False)
        self.out = nn.Linear(d, d, bias=False)
        self.norm2, self.mlp = nn.LayerNorm(d), nn.Sequential(nn.Linear(d, f or 2 * d), nn.GELU(), nn.Linear(f or 2 * d, d))

    def messages(
        self, h: Float[Tensor, "n d"], src: Int[Tensor, "E"], dst: Int[Tensor, "E"], z: Float[Tensor, "E c"]
    ) -> Float[Tensor, "n d"]:
        """What attention adds to every node."""
        x = self.norm1(h)
        q = self.q(x).unflatten(-1, (self.heads, -1))[dst]
        k, v = self.kv(torch.cat([x[src], z], dim=-1)).unflatten(-1, (2, self.heads, -1)).unbind(1)
        weight = scatter_softmax((q * k).sum(-1) / q.shape[-1] ** 0.5, dst, len(h))
        return self.out(torch.zeros_like(h).index_add(0, dst, (weight[..., None] * v).flatten(1)))

    def forward(
        self, h: Float[Tensor, "n d"], src: Int[Tensor, "E"], dst: Int[Tensor, "E"], z: Float[Tensor, "E c"]
    ) -> Float[Tensor, "n d"]:
        h = h + self.messages(h, src, dst, z)
        return h + self.mlp(self.norm2(h))


# ------------------------------------------------------------------------------------------------------------------ pack and unpack


def pack(tokens: Float[Tensor, "Mn d"], active: Bool[Tensor, "M n"]) -> tuple[Float[Tensor, "n M d"], Bool[Tensor, "n M"]]:
    """``(Z, pad)``: each node's tokens as a sequence over the patches; ``pad`` is True where the node has no event in the patch."""
    if len(tokens) != active.numel():
        raise ValueError(f"{len(tokens)} tokens are not {active.shape[0]} patches of {active.shape[1]} nodes")
    return tokens.view(*active.shape, -1).transpose(0, 1), ~active.T


def unpack(Z: Float[Tensor, "n M d"]) -> Float[Tensor, "Mn d"]:
    """Back to the order that ``pack`` was given."""
    return Z.transpose(0, 1).flatten(0, 1)
