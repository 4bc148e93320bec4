"""Dense × semi-structured-sparse: each row of a weight is a few atoms of a small dictionary.

The columns of W (m × n) are cut into ``J`` blocks of ``b``. Block j is S_j D_j: a dictionary of ``r`` atoms of length b, and for every
output row exactly ``k`` of them (Chand et al. 2023, DSFormer, §3):

    y_i = Σ_j Σ_{c<k} value[j, i, c] · u_j[ index[j, i, c] ],       u_j = D_j x_j

Shapes: x (…, n = J·b), D (J, r, b), index and value (J, m, k), y (…, m). Cost a vector: J·(r·b + m·k) multiply-adds instead of m·n.
Equal k in every row keeps the index rectangular: no row pointers, and a gather of known size. The fast form sees the second half as
``embedding_bag``: the table is u (J·r atoms, one column a vector), a bag is an output row, its weights are the values.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from minilib.kernels.backend import choose, jit, need, next_power_of_2, tl


def dense_sparse(
    x: Float[Tensor, "*n w"],
    D: Float[Tensor, "J r b"],
    index: Int[Tensor, "J m k"],
    value: Float[Tensor, "J m k"],
    *,
    backend: str = "auto",
) -> Float[Tensor, "*n m"]:
    """The product W x for every vector of ``x``, W given by its factors.

    Raises:
        ValueError: shapes that do not fit, or an index outside the r atoms.
    """
    need("D", D, (None, None, None))
    J, r, b = D.shape
    need("value", value, (J, None, None))
    need("index", index, tuple(value.shape), floating=False)
    if x.shape[-1] != J * b:
        raise ValueError(f"x has width {x.shape[-1]}; {J} blocks of {b} columns make {J * b}")
    if bool((index < 0).any()) or bool((index >= r).any()):
        raise ValueError(f"index holds atoms from {int(index.min())} to {int(index.max())}; there are atoms 0 to {r - 1}")
    match choose(backend, x):
        case "reference":
            return x @ dense_weight(D, index, value).T
        case "triton":
            return _gather(atoms(x, D), index, value, triton_form=True).reshape(*x.shape[:-1], -1)
        case _:
            return _gather(atoms(x, D), index, value, triton_form=False).reshape(*x.shape[:-1], -1)


def dense_weight(D: Float[Tensor, "J r b"], index: Int[Tensor, "J m k"], value: Float[Tensor, "J m k"]) -> Float[Tensor, "m n"]:
    """The weight itself: the definition. An atom that a row names twice counts twice."""
    J, m, _ = index.shape
    S = value.new_zeros(J, m, D.shape[1]).scatter_add(2, index, value)
    return (S @ D).permute(1, 0, 2).reshape(m, -1)


def atoms(x: Float[Tensor, "*n w"], D: Float[Tensor, "J r b"]) -> Float[Tensor, "J r n"]:
    """``u_j = D_j x_j`` of all vectors."""
    J, _, b = D.shape
    return D @ x.reshape(-1, J, b).permute(1, 2, 0)


def _gather(u: Tensor, index: Tensor, value: Tensor, *, triton_form: bool) -> Tensor:
    """(n, m): the sums of gathered atoms."""
    J, r, n = u.shape
    table = u.reshape(J * r, n)
    bags = (index + r * torch.arange(J, device=index.device)[:, None, None]).permute(1, 0, 2).flatten(1)  # (m, J·k)
    weights = value.permute(1, 0, 2).flatten(1)
    if triton_form:
        return _Triton.apply(table, bags.contiguous(), weights.contiguous()).T
    return F.embedding_bag(bags, table, per_sample_weights=weights, mode="sum").T


# ------------------------------------------------------------------------------------------------------------------------- Triton
# A program owns one output row and a tile of vectors: it reads K atoms, each a contiguous run of the table, and adds them up. Backward:
# the gradient of a value is a dot product over the vectors; that of the table is the same sum with the roles exchanged, made here by
# PyTorch's index_add since two rows may meet at one atom.


@jit
def _sum_kernel(TABLE, BAGS, WEIGHTS, OUT, n, K, BLOCK: tl.constexpr):
    row, column = tl.program_id(0), tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    total = tl.zeros([BLOCK], tl.float32)
    for c in range(0, K):
        atom, weight = tl.load(BAGS + row * K + c), tl.load(WEIGHTS + row * K + c).to(tl.float32)
        total += weight * tl.load(TABLE + atom * n + column, mask=column < n, other=0.0).to(tl.float32)
    tl.store(OUT + row * n + column, total, mask=column < n)


@jit
def _value_kernel(TABLE, BAGS, DOUT, DW, n, K, BLOCK: tl.constexpr):
    row, c = tl.program_id(0), tl.program_id(1)
    atom = tl.load(BAGS + row * K + c)
    total = tl.zeros([BLOCK], tl.float32)
    for at in range(0, n, BLOCK):
        column = at + tl.arange(0, BLOCK)
        u = tl.load(TABLE + atom * n + column, mask=column < n, other=0.0).to(tl.float32)
        total += u * tl.load(DOUT + row * n + column, mask=column < n, other=0.0).to(tl.float32)
    tl.store(DW + row * K + c, tl.sum(total, axis=0))


class _Triton(torch.autograd.Function):
    @staticmethod
    def forward(ctx, table, bags, weights):
        table = table.contiguous()
        (m, K), n = bags.shape, table.shape[1]
        block = min(128, max(16, next_power_of_2(n)))
        out = table.new_empty(m, n)
        _sum_kernel[(m, -(-n // block))](table, bags, weights, out, n, K, BLOCK=block)
        ctx.save_for_backward(table, bags, weights)
        ctx.block = block
        return out

    @staticmethod
    def backward(ctx, dout):
        table, bags, weights = ctx.saved_tensors
        (m, K), n, dout = bags.shape, table.shape[1], dout.contiguous()
        dweights = torch.empty_like(weights)
        _value_kernel[(m, K)](table, bags, dout, dweights, n, K, BLOCK=ctx.block)
        spread = (weights[:, :, None] * dout[:, None, :]).flatten(0, 1)
        return torch.zeros_like(table).index_add(0, bags.flatten(), spread), None, dweights
