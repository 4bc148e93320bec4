"""Expert dispatch: sort the tokens by expert, multiply each group by its own matrix, put the results back.

    y_t = Σ_j gate[t, j] · FFN_{index[t, j]}(x_t)            (Shazeer et al. 2017, eq. 1)

``T`` tokens, ``k`` experts a token, ``E`` experts, ``D`` width, ``F`` hidden width. Shapes: x (T, D), index and gate (T, k),
W (E, D, F) stacked weights, counts (E,) rows of each group.

A loop over tokens makes T·k tiny products; padding every expert to a capacity makes E large ones of which part is zeros. Sorting the T·k
(token, choice) pairs by expert makes E exact groups in one pass: 2·T·k·D·F FLOPs a product and nothing more (Gale et al. 2023,
MegaBlocks, has the same aim with block-sparse products). The fast form hands each group, a contiguous slice, to one matrix product; the
Triton form hands tiles of all groups to one launch.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from minilib.kernels.backend import choose, jit, need, next_power_of_2, tl

ROWS = 16


def sort_by_expert(index: Int[Tensor, "t k"], E: int) -> tuple[Int[Tensor, "n"], Int[Tensor, "n"], Int[Tensor, "E"]]:
    """``(token, choice, counts)``: the (token, choice) pairs in order of their expert, and how many each expert has.

    Pairs of one expert keep the order of their tokens.
    """
    flat = index.flatten()
    if bool((flat < 0).any()) or bool((flat >= E).any()):
        raise ValueError(f"index holds experts from {int(flat.min())} to {int(flat.max())}; there are experts 0 to {E - 1}")
    order = flat.argsort(stable=True)
    k = index.shape[1]
    return order // k, order % k, torch.bincount(flat, minlength=E)


def grouped_matmul(
    x: Float[Tensor, "n d"], W: Float[Tensor, "E d f"], counts: Int[Tensor, "E"], *, backend: str = "auto"
) -> Float[Tensor, "n f"]:
    """Rows 0 … counts[0]−1 times W[0], the next counts[1] rows times W[1], and so on.

    Raises:
        ValueError: shapes that do not fit, negative counts, counts that do not add up to the rows of x.
    """
    need("W", W, (None, None, None))
    need("x", x, (None, W.shape[1]))
    need("counts", counts, (W.shape[0],), floating=False)
    sizes = counts.tolist()
    if min(sizes) < 0 or sum(sizes) != len(x):
        raise ValueError(f"counts are {sizes}; they must not be negative and must add up to the {len(x)} rows of x")
    match choose(backend, x):
        case "reference":
            expert = torch.repeat_interleave(torch.arange(len(W), device=x.device), counts)
            return torch.einsum("nd,ndf->nf", x, W[expert])  # one matrix a row: the definition
        case "triton":
            return _Triton.apply(x, W, tuple(sizes))
        case _:
            return torch.cat([rows @ w for rows, w in zip(x.split(sizes), W.unbind(), strict=True)])


def combine(
    out: Float[Tensor, "n d"], token: Int[Tensor, "n"], choice: Int[Tensor, "n"], gate: Float[Tensor, "t k"]
) -> Float[Tensor, "t d"]:
    """Add each pair's result, times its gate, to its token."""
    weighted = out * gate[token, choice][:, None]
    return out.new_zeros(len(gate), out.shape[1]).index_add(0, token, weighted)


# ------------------------------------------------------------------------------------------------------------------------- Triton
# The rows of every group are cut into tiles of ROWS; a table says which expert a tile belongs to, where it starts and where its group
# ends. One launch then covers all groups, however uneven. Gradients: dx is the same product with Wᵀ, dW[e] = x[e]ᵀ dy[e].


@jit
def _product_kernel(X, W, Y, EXPERT, START, STOP, D, F, SIZE: tl.constexpr, D_BLOCK: tl.constexpr, F_BLOCK: tl.constexpr):
    tile = tl.program_id(0)
    expert = tl.load(EXPERT + tile)
    row, stop = tl.load(START + tile) + tl.arange(0, SIZE), tl.load(STOP + tile)
    d, f = tl.arange(0, D_BLOCK), tl.program_id(1) * F_BLOCK + tl.arange(0, F_BLOCK)
    x = tl.load(X + row[:, None] * D + d[None, :], mask=(row[:, None] < stop) & (d[None, :] < D), other=0.0).to(tl.float32)
    w = tl.load(W + expert * D * F + d[:, None] * F + f[None, :], mask=(d[:, None] < D) & (f[None, :] < F), other=0.0).to(tl.float32)
    y = tl.dot(x, w, input_precision="ieee")
    tl.store(Y + row[:, None] * F + f[None, :], y, mask=(row[:, None] < stop) & (f[None, :] < F))


@jit
def _weight_kernel(X, DY, DW, START, STOP, D, F, SIZE: tl.constexpr, D_BLOCK: tl.constexpr, F_BLOCK: tl.constexpr):
    expert = tl.program_id(0)
    start, stop = tl.load(START + expert), tl.load(STOP + expert)
    d, f = tl.arange(0, D_BLOCK), tl.program_id(1) * F_BLOCK + tl.arange(0, F_BLOCK)
    dw = tl.zeros([D_BLOCK, F_BLOCK], tl.float32)
    for at in range(start, stop, SIZE):
        row = at + tl.arange(0, SIZE)
        x = tl.load(X + row[:, None] * D + d[None, :], mask=(row[:, None] < stop) & (d[None, :] < D), other=0.0).to(tl.float32)
        dy = tl.load(DY + row[:, None] * F + f[None, :], mask=(row[:, None] < stop) & (f[None, :] < F), other=0.0).to(tl.float32)
        dw += tl.dot(tl.trans(x), dy, input_precision="ieee")
    tl.store(DW + expert * D * F + d[:, None] * F + f[None, :], dw, mask=(d[:, None] < D) & (f[None, :] < F))


def _launch(x: Tensor, W: Tensor, sizes: tuple[int, ...]) -> Tensor:
    D, F = W.shape[1:]
    y = x.new_zeros(len(x), F)
    table, at = [], 0
    for expert, size in enumerate(sizes):
        table += [(expert, start, at + size) for start in range(at, at + size, ROWS)]
        at += size
    if table:
        experts, starts, stops = (torch.tensor(column, dtype=torch.int32, device=x.device) for column in zip(*table, strict=True))
        blocks = {"SIZE": ROWS, "D_BLOCK": max(16, next_power_of_2(D)), "F_BLOCK": 32}
        _product_kernel[(len(table), -(-F // 32))](x.contiguous(), W.contiguous(), y, experts, starts, stops, D, F, **blocks)
    return y


class _Triton(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, W, sizes):
        ctx.save_for_backward(x, W)
        ctx.sizes = sizes
        return _launch(x, W, sizes)

    @staticmethod
    def backward(ctx, dy):
        x, W = ctx.saved_tensors
        D, F = W.shape[1:]
        dx = _launch(dy, W.transpose(1, 2), ctx.sizes)
        edges = torch.tensor([0, *ctx.sizes], device=x.device).cumsum(0).to(torch.int32)
        dW = torch.empty_like(W)
        blocks = {"SIZE": ROWS, "D_BLOCK": max(16, next_power_of_2(D)), "F_BLOCK": 32}
        _weight_kernel[(len(W), -(-F // 32))](
            x.contiguous(), dy.contiguous(), dW, edges[:-1].contiguous(), edges[1:].contiguous(), D, F, **blocks
        )  # fmt: skip
        return dx, dW, None
