"""Informer's two savings inside a layer stack: attention that scores few queries, and a step that halves the sequence (arXiv 2012.07436).

Introduced in lesson 16, where both are written out; the encoder–decoder around them is ``forecasting.InformerShell``.

``sparsity``               how far each query's attention is from uniform, from all keys or from a sample (§3.2, eq. 4)
``sample_table``           which keys each query is measured on
``prob_sparse_attention``  full scores for the u least uniform queries, the mean of the values for all others
``Distil``                 convolution, ELU, max-pooling with stride 2 between two layers (§3.3, eq. 5)

``B`` batch, ``H`` heads, ``Q`` queries, ``S`` keys, ``K`` width of a head, ``U`` sampled keys a query, ``u`` chosen queries, ``D`` width.
"""

from math import ceil, log

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F_

__all__ = ["Distil", "prob_sparse_attention", "sample_table", "sparsity"]

DENSE = 256  # up to so many keys one full product with a gather is faster than gathering the keys; the numbers are the same


def sample_table(Q: int, S: int, c: int = 5, generator: torch.Generator | None = None) -> Int[Tensor, "q U"]:
    """For each query its own U = min(c·⌈ln S⌉, S) keys, drawn with replacement; one table for all of batch and heads."""
    return torch.randint(S, (Q, _few(c, S)), generator=generator)


def sparsity(
    q: Float[Tensor, "*b q k"], k: Float[Tensor, "*b s k"], table: Int[Tensor, "q U"] | None = None, *, dense_scores: bool | None = None
) -> Float[Tensor, "*b q"]:
    """M̄: the largest score of a query minus the mean of its scores, over all keys or over those in its row of ``table``.

    ln S ≤ LSE − mean ≤ M̄ + ln S, and LSE − mean − ln S is the divergence of the query's attention from uniform (Lemma 1). The mean is taken
    over the U sampled scores; the official code divides their sum by S.

    Args:
        dense_scores: compute all scores and pick, or gather the keys and score only those; by default what is faster.
    """
    if table is None or (k.shape[-2] <= DENSE if dense_scores is None else dense_scores):
        scores = q @ k.transpose(-1, -2)
        if table is not None:
            scores = scores.gather(-1, table.expand(*scores.shape[:-1], -1))
    else:
        scores = torch.einsum("...qk,...quk->...qu", q, k[..., table, :])
    scores = scores / q.shape[-1] ** 0.5
    return scores.amax(-1) - scores.mean(-1)


def prob_sparse_attention(
    q: Float[Tensor, "*b q k"],
    k: Float[Tensor, "*b s k"],
    v: Float[Tensor, "*b s v"],
    c: int = 5,
    *,
    causal: bool = False,
    generator: torch.Generator | None = None,
    dense_scores: bool | None = None,
    keep: list[Tensor] | None = None,
) -> Float[Tensor, "*b q v"]:
    """Attention of the u = min(c·⌈ln Q⌉, Q) queries with the largest sampled M̄; every other query gets the mean of the values it may see.

    The choice is redrawn at each call (also in evaluation) from ``generator`` or PyTorch's own, and no gradient flows through it.

    Args:
        causal: query i sees the keys up to i, and an unchosen one the mean of v_1 … v_i. (The official code takes their sum, which grows
            with i.) The choice itself looks at all keys.
        keep: a list to which the weights (*, Q, S) are appended, uniform rows included.

    Raises:
        ValueError: ``causal`` with another number of keys than of queries.
    """
    Q, S, K = q.shape[-2], k.shape[-2], q.shape[-1]
    if causal and Q != S:
        raise ValueError(f"the causal form is self-attention: {Q} queries cannot see {S} keys")
    with torch.no_grad():
        table = sample_table(Q, S, c, generator).to(q.device)
        chosen = sparsity(q, k, table, dense_scores=dense_scores).topk(_few(c, Q)).indices[..., None]
    rows = lambda width: chosen.expand(*chosen.shape[:-1], width)  # noqa: E731
    scores = q.gather(-2, rows(K)) @ k.transpose(-1, -2) / K**0.5
    if causal:
        scores = scores.masked_fill(torch.arange(S, device=q.device) > chosen, float("-inf"))
    weights = scores.softmax(-1)
    if causal:
        lazy = v.cumsum(-2) / torch.arange(1, S + 1, device=v.device, dtype=v.dtype)[:, None]
    else:
        lazy = v.mean(-2, keepdim=True).expand(*v.shape[:-2], Q, -1)
    if keep is not None:
        seen = weights.new_ones(Q, S).tril() if causal else weights.new_ones(Q, S)
        keep.append((seen / seen.sum(-1, keepdim=True)).expand(*q.shape[:-1], S).scatter(-2, rows(S), weights))
    return lazy.scatter(-2, rows(v.shape[-1]), weights @ v)


class Distil(nn.Module):
    """(B, L, D) → (B, ⌊(L−1)/2⌋+1, D): circular convolution of width 3, batch norm, ELU, max-pooling of width 3 with stride 2.

    The batch norm stands in the official code, not in the paper's formula.
    """

    def __init__(self, D: int):
        super().__init__()
        self.conv, self.norm = nn.Conv1d(D, D, 3, padding=1, padding_mode="circular"), nn.BatchNorm1d(D)

    def forward(self, x: Float[Tensor, "b l d"]) -> Float[Tensor, "b m d"]:
        return F_.max_pool1d(F_.elu(self.norm(self.conv(x.transpose(1, 2)))), 3, stride=2, padding=1).transpose(1, 2)


def _few(c: int, n: int) -> int:
    """c·⌈ln n⌉, at least 1 and at most n."""
    return max(1, min(c * ceil(log(n)), n))
