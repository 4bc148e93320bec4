"""The state-space scan over a token tree in one pass (Wu et al. 2025, STree; the recurrence is Mamba-2's, Dao and Gu 2024).

A sequence is a path: S_t = exp(Δ_t A) S_{t−1} + Δ_t x_t B_tᵀ, y_t = S_t C_t + D x_t. In a tree every node continues its *parent's*
state. With the cumulative decay a_i = Σ_{j ∈ path to i} Δ_j A and M[i, j] true where j is i or an ancestor of i,

    y_i = exp(a_i) S_0 C_i + Σ_j M[i, j] · exp(a_i − a_j) · (C_i · B_j) · Δ_j x_j + D x_i

because all ancestors of j are ancestors of i and cancel in a_i − a_j. One masked product replaces a state for every node.

``b`` batch, ``n`` nodes in an order in which parents come first, ``h`` heads, ``p`` width of a head, ``s`` size of the state. Shapes:
M (n, n), dt (b, n, h) > 0, A (h,) < 0, x (b, n, h, p), B and C (b, n, s), S0 (b, h, p, s), D (h,). Cost: n²·(s + h·p) + n·h·p·s
multiply-adds; the step-by-step form needs n·h·p·s too, but n updates one after another and n stored states.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from minilib.kernels.backend import choose, jit, need, next_power_of_2, tl


def tree_scan(
    M: Bool[Tensor, "n n"],
    dt: Float[Tensor, "b n h"],
    A: Float[Tensor, "h"],
    x: Float[Tensor, "b n h p"],
    B: Float[Tensor, "b n s"],
    C: Float[Tensor, "b n s"],
    S0: Float[Tensor, "b h p s"],
    D: Float[Tensor, "h"] | None = None,
    *,
    backend: str = "auto",
) -> Float[Tensor, "b n h p"]:
    """Outputs at all nodes of a tree whose root continues the state ``S0``.

    Args:
        M: ancestor-or-self mask, as ``minilib.attention.tree_visibility`` makes it; a causal mask gives the ordinary scan.

    Raises:
        ValueError: shapes that do not fit, or a mask that is no tree in topological order.
    """
    need("x", x, (None, None, None, None))
    b, n, h, p = x.shape
    need("dt", dt, (b, n, h))
    need("A", A, (h,))
    need("B", B, (b, n, None))
    need("C", C, tuple(B.shape))
    need("S0", S0, (b, h, p, B.shape[2]))
    need("M", M, (n, n), floating=False)
    parents = tree_parents(M)
    match choose(backend, x):
        case "reference":
            y = tree_scan_reference(parents, dt, A, x, B, C, S0)
        case "triton":
            y = _masked_product(M, dt, A, x, B, C, S0, triton_form=True)
        case _:
            y = _masked_product(M, dt, A, x, B, C, S0, triton_form=False)
    return y if D is None else y + D[:, None] * x


def tree_parents(M: Bool[Tensor, "n n"]) -> list[int]:
    """The parent of every node (−1 for a root), read off the mask: the last ancestor before it."""
    rows, parents = M.tolist(), []
    for i, row in enumerate(rows):
        above = [j for j in range(len(rows)) if row[j] and j != i]
        parent = max(above, default=-1)
        wanted = set() if parent < 0 else {j for j in range(len(rows)) if rows[parent][j]}
        if not row[i] or parent > i or set(above) != wanted:
            raise ValueError(f"M is not the mask of a tree whose parents come first: see row {i}")
        parents.append(parent)
    return parents


def tree_scan_reference(parents: list[int], dt: Tensor, A: Tensor, x: Tensor, B: Tensor, C: Tensor, S0: Tensor) -> Tensor:
    """One state a node, each made from its parent's: the definition."""
    states: list[Tensor] = []
    for i, parent in enumerate(parents):
        before = S0 if parent < 0 else states[parent]
        decay = (dt[:, i] * A).exp()[..., None, None]
        states.append(decay * before + (dt[:, i, :, None] * x[:, i])[..., None] * B[:, i, None, None, :])
    return torch.stack([torch.einsum("bhps,bs->bhp", state, C[:, i]) for i, state in enumerate(states)], dim=1)


def _masked_product(M: Tensor, dt: Tensor, A: Tensor, x: Tensor, B: Tensor, C: Tensor, S0: Tensor, *, triton_form: bool) -> Tensor:
    a = torch.einsum("ij,bjh->bhi", M.to(dt.dtype), dt * A)  # decay from the root down to each node
    u = (dt[..., None] * x).transpose(1, 2)  # (b, h, n, p)
    scores = C @ B.transpose(1, 2)  # (b, n, n): shared by the heads
    inside = _Triton.apply(M, a, scores, u) if triton_form else inner(M, a, scores, u)
    from_before = a.exp()[..., None] * torch.einsum("bhps,bns->bhnp", S0, C)
    return (inside + from_before).transpose(1, 2)


def inner(M: Tensor, a: Float[Tensor, "b h n"], scores: Float[Tensor, "b n n"], u: Float[Tensor, "b h n p"]) -> Float[Tensor, "b h n p"]:
    """Σ_j M[i, j] exp(a_i − a_j) scores[i, j] u_j. The mask is applied before the exponential, which could overflow off the tree."""
    gap = torch.where(M, a[..., :, None] - a[..., None, :], float("-inf"))
    return (gap.exp() * scores[:, None]) @ u


# ------------------------------------------------------------------------------------------------------------------------- Triton
# A program owns one (batch, head): the n × n transitions are made in registers and never reach memory. Trees of drafts are small (some
# tens of nodes), so one tile holds them. The backward pass recomputes through the PyTorch form.


@jit
def _inner_kernel(M, A, SCORES, U, OUT, n, p, h, NODES: tl.constexpr, WIDTH: tl.constexpr):
    pair = tl.program_id(0)
    batch = pair // h
    i, j, c = tl.arange(0, NODES)[:, None], tl.arange(0, NODES)[None, :], tl.arange(0, WIDTH)[None, :]
    both = (i < n) & (j < n)
    visible = tl.load(M + i * n + j, mask=both, other=0) != 0
    a_i = tl.load(A + pair * n + i, mask=i < n, other=0.0)
    a_j = tl.load(A + pair * n + j, mask=j < n, other=0.0)
    scores = tl.load(SCORES + batch * n * n + i * n + j, mask=both, other=0.0)
    weights = tl.where(visible, tl.exp(tl.where(visible, a_i - a_j, 0.0)) * scores, 0.0)
    u = tl.load(U + pair * n * p + i * p + c, mask=(i < n) & (c < p), other=0.0)
    tl.store(OUT + pair * n * p + i * p + c, tl.dot(weights, u, input_precision="ieee"), mask=(i < n) & (c < p))


class _Triton(torch.autograd.Function):
    @staticmethod
    def forward(ctx, M, a, scores, u):
        ctx.save_for_backward(M, a, scores, u)
        b, h, n, p = u.shape
        out = torch.empty_like(u, memory_format=torch.contiguous_format)
        sizes = {"NODES": max(16, next_power_of_2(n)), "WIDTH": max(16, next_power_of_2(p))}
        _inner_kernel[(b * h,)](
            M.to(torch.int32).contiguous(), a.contiguous(), scores.contiguous(), u.contiguous(), out, n, p, h, **sizes
        )  # fmt: skip
        return out

    @staticmethod
    def backward(ctx, dout):
        M, *inputs = ctx.saved_tensors
        with torch.enable_grad():
            leaves = [t.detach().requires_grad_() for t in inputs]
            grads = torch.autograd.grad(inner(M, *leaves), leaves, dout)
        return None, *grads
