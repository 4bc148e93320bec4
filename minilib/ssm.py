"""State space models: the Mamba block in its three forms (whole sequence, continued, token by token) and its LTI baseline.

``Mamba``       the block (Gu and Dao 2023, §3.4, Fig. 3), with what is selective chosen by ``select``
``MambaLM``     embedding, n × [h ← h + Mamba(RMSNorm(h))], norm, head
``MambaCache``  what a block remembers of the past: its size does not grow with it
``BiMamba``     two blocks, one from either end, and their sum: for tokens without an order
``s4d_lti``     the time-invariant layer (S4D) as one convolution: no choice depends on the token
``selective_scan``, ``selective_scan_step``   re-exported from ``minilib.kernels.selective_scan``

``B`` batch, ``L`` length, ``M`` width of the model, ``D`` = expand · M inner width (channels), ``N`` states a channel, ``R`` rank of the
step sizes, ``W`` = d_conv taps of the convolution, ``V`` vocabulary. Follows the official code (github.com/state-spaces/mamba) in
initialisation and order of operations; there is no separate MLP and no position code.
"""

import math
from collections.abc import Iterable
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from minilib.kernels.selective_scan import selective_scan, selective_scan_step
from minilib.layers import RMSNorm

__all__ = ["SELECTIVE", "BiMamba", "Mamba", "MambaCache", "MambaLM", "s4d_lti", "selective_scan", "selective_scan_step"]

SELECTIVE = ("delta", "B", "C")


class MambaCache(NamedTuple):
    """The past of one block: the last W inputs of the convolution, newest last, and the state of the scan."""

    conv_state: Float[Tensor, "b d w"]
    ssm_state: Float[Tensor, "b d n"]


class Mamba(nn.Module):
    """(B, L, M) → (B, L, M): project up, short causal convolution, selective scan, gate, project down.

    Args:
        d_state, d_conv, expand: N, W and D/M.
        dt_rank: R; "auto" is ⌈M/16⌉.
        discretize: "euler" as the official code, or "zoh" as the paper's equation 4.
        select: which of ``delta``, ``B``, ``C`` are computed from the token; the others are learned constants. With none of them the block
            is time-invariant, C then has a row a channel (as in S4D), and the whole sequence is one convolution.
        method, chunk: how the scan is computed, see ``selective_scan``.

    Raises:
        ValueError: ``select`` names something else.
    """

    def __init__(
        self,
        d_model: int,
        d_state: int = 16,
        d_conv: int = 4,
        expand: int = 2,
        dt_rank: int | str = "auto",
        *,
        discretize: str = "euler",
        select: Iterable[str] = SELECTIVE,
        method: str = "sequential",
        chunk: int = 16,
    ):
        super().__init__()
        self.select = frozenset(select)
        if unknown := self.select - set(SELECTIVE):
            raise ValueError(f"select may name {', '.join(SELECTIVE)}; got {', '.join(sorted(unknown))}")
        d, n = expand * d_model, d_state
        self.d_inner, self.d_state, self.d_conv = d, n, d_conv
        self.dt_rank = math.ceil(d_model / 16) if dt_rank == "auto" else int(dt_rank)
        self.discretize, self.method, self.chunk = discretize, method, chunk

        self.in_proj = nn.Linear(d_model, 2 * d, bias=False)
        self.conv1d = nn.Conv1d(d, d, d_conv, groups=d)
        self.sizes = [size if name in self.select else 0 for name, size in zip(SELECTIVE, (self.dt_rank, n, n), strict=True)]
        self.x_proj = nn.Linear(d, sum(self.sizes), bias=False) if self.select else None
        self.dt_proj = nn.Linear(self.dt_rank, d) if "delta" in self.select else None
        self.dt_bias = nn.Parameter(torch.empty(d)) if self.dt_proj is None else None
        self.B = nn.Parameter(torch.randn(n)) if "B" not in self.select else None
        self.C = nn.Parameter(torch.randn(*(() if self.select else (d,)), n) / n**0.5) if "C" not in self.select else None
        self.A_log = nn.Parameter(torch.arange(1.0, n + 1).log().repeat(d, 1))  # S4D-Real: A_n = −(n + 1)
        self.D = nn.Parameter(torch.ones(d))
        self.out_proj = nn.Linear(d, d_model, bias=False)
        self.A_log.no_weight_decay = self.D.no_weight_decay = True  # type: ignore[attr-defined]
        self.reset_step_sizes()

    @torch.no_grad()
    def reset_step_sizes(self) -> None:
        """Δ starts between 0.001 and 0.1, log-uniform over the channels. Call it again if something has zeroed all biases."""
        dt = torch.exp(torch.empty(self.d_inner).uniform_(math.log(1e-3), math.log(1e-1))).clamp(min=1e-4)
        bias = self.dt_bias if self.dt_proj is None else self.dt_proj.bias
        bias.copy_(dt + torch.log(-torch.expm1(-dt)))  # the inverse of softplus
        if self.dt_proj is not None:
            self.dt_proj.weight.uniform_(-(self.dt_rank**-0.5), self.dt_rank**-0.5)

    @property
    def A(self) -> Float[Tensor, "d n"]:
        """The decay rates, negative."""
        return -torch.exp(self.A_log.float())

    def cache(self, batch: int = 1) -> MambaCache:
        """The past of a sequence that has not begun."""
        zeros = self.D.new_zeros
        return MambaCache(zeros(batch, self.d_inner, self.d_conv), zeros(batch, self.d_inner, self.d_state, dtype=self.A.dtype))

    def forward(self, x: Float[Tensor, "b l m"]) -> Float[Tensor, "b l m"]:
        """A whole sequence from its beginning."""
        u, z = self.in_proj(x).chunk(2, dim=-1)
        u = self._convolve(F.pad(u, (0, 0, self.d_conv - 1, 0)))
        if self.dt_bias is not None and self.B is not None and self.C is not None:  # nothing is selective
            y = s4d_lti(u, F.softplus(self.dt_bias), self.A, self.B, self.C, self.D, discretize=self.discretize)
        else:
            y = self._scan(u)
        return self.out_proj(y * F.silu(z))

    def prefill(self, x: Float[Tensor, "b l m"], cache: MambaCache | None = None) -> tuple[Float[Tensor, "b l m"], MambaCache]:
        """A stretch of the sequence that follows ``cache`` (None: from its beginning), and the cache after it."""
        cache = cache or self.cache(len(x))
        if not self.select:  # the baseline has no parallel form that starts from a state
            outputs = []
            for t in range(x.shape[1]):
                y, cache = self.step(x[:, t], cache)
                outputs.append(y)
            return torch.stack(outputs, dim=1), cache
        u, z = self.in_proj(x).chunk(2, dim=-1)
        window = torch.cat([cache.conv_state.transpose(1, 2), u], dim=1)
        y, state = self._scan(self._convolve(window[:, 1:]), cache.ssm_state, return_state=True)
        return self.out_proj(y * F.silu(z)), MambaCache(window[:, -self.d_conv :].transpose(1, 2).contiguous(), state)

    def step(self, x_t: Float[Tensor, "b m"], cache: MambaCache) -> tuple[Float[Tensor, "b m"], MambaCache]:
        """One token: its output and the new cache; the given one is left as it was."""
        u, z = self.in_proj(x_t).chunk(2, dim=-1)
        window = torch.cat([cache.conv_state[..., 1:], u.unsqueeze(-1)], dim=-1)
        u = F.silu((window * self.conv1d.weight.squeeze(1)).sum(-1) + self.conv1d.bias)
        delta, B, C = (v.squeeze(1) for v in self._coefficients(u.unsqueeze(1)))
        if self.select:
            y, state = selective_scan_step(u, delta, self.A, B, C, self.D, cache.ssm_state, discretize=self.discretize)
        else:
            nothing = torch.zeros_like(B)
            skip, state = selective_scan_step(u, delta, self.A, B, nothing, self.D, cache.ssm_state, discretize=self.discretize)
            y = skip + (state * self.C).sum(-1)
        return self.out_proj(y * F.silu(z)), MambaCache(window, state)

    def _convolve(self, u: Float[Tensor, "b k d"]) -> Float[Tensor, "b l d"]:
        """The depthwise convolution and SiLU; the first W − 1 of the K = L + W − 1 positions are its past."""
        return F.silu(self.conv1d(u.transpose(1, 2)).transpose(1, 2))

    def _coefficients(self, u: Float[Tensor, "b l d"]) -> tuple[Tensor, Tensor, Tensor]:
        """Δ (B, L, D), B and C (B, L, N) of every token; what is not selective is the same at each."""
        parts = dict(zip(SELECTIVE, self.x_proj(u).split(self.sizes, dim=-1), strict=True)) if self.x_proj is not None else {}
        constant = lambda v: v.expand(*u.shape[:2], -1)  # noqa: E731
        delta = F.softplus(constant(self.dt_bias) if self.dt_proj is None else self.dt_proj(parts["delta"]))
        B = parts["B"] if self.B is None else constant(self.B)
        C = parts["C"] if self.C is None else constant(self.C) if self.select else B
        return delta, B, C

    def _scan(self, u: Tensor, h0: Tensor | None = None, *, return_state: bool = False):
        delta, B, C = self._coefficients(u)
        return selective_scan(
            u, delta, self.A, B, C, self.D, h0,
            method=self.method, chunk=self.chunk, discretize=self.discretize, return_state=return_state,
        )  # fmt: skip


class BiMamba(nn.Module):
    """(B, N, M) → (B, N, M): y = forward_block(x) + flip(backward_block(flip(x))), flipped along the axis of the N tokens.

    Every output depends on every input, and still on their order: influence fades with the distance. Two blocks with weights of their own,
    no residual, no norm. The defaults are those of S-Mamba (Wang et al. 2024, arXiv 2403.11144), not of ``Mamba``.

    Args:
        d_state, d_conv, expand: as in ``Mamba``, of both blocks.
        block: further arguments of ``Mamba``.
    """

    def __init__(self, d_model: int, d_state: int = 16, d_conv: int = 2, expand: int = 1, **block):
        super().__init__()
        self.forward_block, self.backward_block = (Mamba(d_model, d_state, d_conv, expand, **block) for _ in range(2))

    def forward(self, x: Float[Tensor, "b n m"]) -> Float[Tensor, "b n m"]:
        return self.forward_block(x) + self.backward_block(x.flip(1)).flip(1)


def s4d_lti(
    u: Float[Tensor, "b l d"],
    delta: Float[Tensor, "d"],
    A: Float[Tensor, "d n"],
    B: Float[Tensor, "n"],
    C: Float[Tensor, "d n"],
    D: Float[Tensor, "d"] | None = None,
    *,
    discretize: str = "euler",
) -> Float[Tensor, "b l d"]:
    """The scan with the same Δ, B, C at every token: a convolution with K_k = Σ_n C_n exp(kΔA_n) B̄_n, by FFT (Gu et al. 2022, S4D).

    Args:
        delta: step sizes, already positive; one a channel.
        C: one row a channel: with A and B shared, only this and ``delta`` tell the channels apart.
    """
    L, z = u.shape[1], delta.unsqueeze(-1) * A
    weight = C * B * (torch.expm1(z) / A if discretize == "zoh" else delta.unsqueeze(-1))
    K = torch.einsum("dn,dnl->dl", weight, torch.exp(z.unsqueeze(-1) * torch.arange(L, device=u.device)))
    size = 2 * L  # room for the whole result, so that the end does not wrap around to the beginning
    y = torch.fft.irfft(torch.fft.rfft(u.transpose(1, 2).to(K.dtype), size) * torch.fft.rfft(K, size), size)[..., :L].transpose(1, 2)
    return (y if D is None else y + D * u).to(u.dtype)


class MambaLM(nn.Module):
    """Tokens (B, L) → logits (B, L, V).

    Args:
        tied: the head is the embedding.
        embedding_std: 0.02 as the paper; small models train faster from 1/√d_model.
        block: passed on to every ``Mamba``.
    """

    def __init__(self, vocabulary: int, d_model: int, n_layer: int, *, tied: bool = True, embedding_std: float = 0.02, **block):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, d_model)
        nn.init.normal_(self.embedding.weight, std=embedding_std)
        self.norms = nn.ModuleList(RMSNorm(d_model, 1e-5) for _ in range(n_layer))
        self.mixers = nn.ModuleList(Mamba(d_model, **block) for _ in range(n_layer))
        self.norm = RMSNorm(d_model, 1e-5)
        self.head = nn.Linear(d_model, vocabulary, bias=False)
        if tied:
            self.head.weight = self.embedding.weight
        for mixer in self.mixers:  # each layer adds to the residual stream; together they should not grow it
            weight: Tensor = mixer.out_proj.weight  # type: ignore[union-attr, assignment]
            nn.init.kaiming_uniform_(weight, a=math.sqrt(5))
            weight.data /= math.sqrt(n_layer)

    def forward(self, tokens: Int[Tensor, "b l"]) -> Float[Tensor, "b l v"]:
        h = self.embedding(tokens)
        for norm, mixer in zip(self.norms, self.mixers, strict=True):
            h = h + mixer(norm(h))
        return self.head(self.norm(h))

    def prefill(
        self, tokens: Int[Tensor, "b l"], caches: list[MambaCache] | None = None
    ) -> tuple[Float[Tensor, "b l v"], list[MambaCache]]:
        """Logits of the tokens that follow ``caches`` (None: from the beginning), and one cache a layer after them."""
        h, after = self.embedding(tokens), []
        before: list[MambaCache] | list[None] = caches or [None] * len(self.mixers)
        for norm, mixer, cache in zip(self.norms, self.mixers, before, strict=True):
            y, cache = mixer.prefill(norm(h), cache)
            h = h + y
            after.append(cache)
        return self.head(self.norm(h)), after

    def step(self, token: Int[Tensor, "b"], caches: list[MambaCache]) -> tuple[Float[Tensor, "b v"], list[MambaCache]]:
        """Logits after one more token, and the new caches; cost and memory do not depend on how many came before."""
        h, after = self.embedding(token), []
        for norm, mixer, cache in zip(self.norms, self.mixers, caches, strict=True):
            y, cache = mixer.step(norm(h), cache)
            h = h + y
            after.append(cache)
        return self.head(self.norm(h)), after
