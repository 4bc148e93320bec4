"""Diffusion on numbers (Gaussian noise) and on tokens (masks). Introduced in lesson 45 (Gaussian) and lesson 32 (masked).

``x0`` clean data (B, …), ``ab`` the table ᾱ_t of kept signal, one entry a step t = 0 … T−1, ``eps`` the noise. A network is called as
``model(x_t, t, cond)`` with t (B,). Follows Ho et al. (2020), Song et al. (2021, DDIM), Salimans and Ho (2022, v-target), Nichol and
Dhariwal (2021, cosine table); the masked part follows Sahoo et al. (2024).
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = [
    "UNet",
    "absorb",
    "cosine_alphas",
    "ddim_invert",
    "ddim_sample",
    "ddim_step",
    "diffusion_loss",
    "linear_alphas",
    "masked_decode",
    "masked_loss",
    "q_sample",
    "timestep_embedding",
    "to_eps",
]


# ------------------------------------------------------------------------------------------------------------------ Gaussian noise


def cosine_alphas(T: int) -> Float[Tensor, "T"]:
    """ᾱ_t = cos²(½π (t/T + s)/(1 + s)), s = 0.008, scaled to start near 1."""
    t = torch.arange(1, T + 1) / T
    curve = lambda t: torch.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2  # noqa: E731
    return (curve(t) / curve(torch.zeros(()))).clamp(min=1e-5)


def linear_alphas(T: int, first: float = 1e-4, last: float = 0.02) -> Float[Tensor, "T"]:
    """ᾱ_t = Π (1 − β_s) with β rising in a straight line; the ends are scaled by 1000/T, so that any T ends in noise."""
    beta = torch.linspace(first, last, T) * 1000 / T
    return (1 - beta.clamp(max=0.999)).cumprod(0)


def _at(ab: Float[Tensor, "T"], t: Int[Tensor, "b"], like: Tensor) -> Tensor:
    """ᾱ_t shaped to broadcast with data; t = −1 means clean data (ᾱ = 1)."""
    value = torch.where(t < 0, torch.ones_like(ab[:1]), ab[t.clamp(min=0)])
    return value.view(-1, *[1] * (like.ndim - 1)).to(like.dtype)


def q_sample(
    x0: Float[Tensor, "b ..."], t: Int[Tensor, "b"], eps: Float[Tensor, "b ..."], ab: Float[Tensor, "T"]
) -> Float[Tensor, "b ..."]:
    """``x_t = √ᾱ_t x_0 + √(1 − ᾱ_t) ε``."""
    a = _at(ab, t, x0)
    return a.sqrt() * x0 + (1 - a).sqrt() * eps


def to_eps(
    out: Float[Tensor, "b ..."], x_t: Float[Tensor, "b ..."], t: Int[Tensor, "b"], ab: Float[Tensor, "T"], target: str
) -> Float[Tensor, "b ..."]:
    """The noise that a network's output stands for; ``target`` is ``eps``, ``v`` (= √ᾱ ε − √(1 − ᾱ) x_0) or ``x0``."""
    a = _at(ab, t, x_t)
    if target == "eps":
        return out
    if target == "v":
        return a.sqrt() * out + (1 - a).sqrt() * x_t
    if target == "x0":
        return (x_t - a.sqrt() * out) / (1 - a).sqrt()
    raise ValueError(f"unknown target {target!r}; choose eps, v or x0")


def diffusion_loss(
    model: Callable,
    x0: Float[Tensor, "b ..."],
    cond,
    ab: Float[Tensor, "T"],
    target: str = "eps",
    *,
    generator: torch.Generator | None = None,
) -> Float[Tensor, ""]:
    """Mean squared error of the network's output at a random step of every example."""
    t = torch.randint(len(ab), (len(x0),), generator=generator)
    eps = torch.randn(x0.shape, generator=generator)
    a = _at(ab, t, x0)
    want = {"eps": lambda: eps, "v": lambda: a.sqrt() * eps - (1 - a).sqrt() * x0, "x0": lambda: x0}
    if target not in want:
        raise ValueError(f"unknown target {target!r}; choose eps, v or x0")
    return F.mse_loss(model(q_sample(x0, t, eps, ab), t, cond), want[target]())


def ddim_step(x: Float[Tensor, "b ..."], eps: Float[Tensor, "b ..."], ab_t: Tensor, ab_s: Tensor) -> Float[Tensor, "b ..."]:
    """From noise level ᾱ_t to ᾱ_s along the deterministic path, either way: the same formula denoises and inverts."""
    x0 = (x - (1 - ab_t).sqrt() * eps) / ab_t.sqrt()
    return ab_s.sqrt() * x0 + (1 - ab_s).sqrt() * eps


@torch.no_grad()
def ddim_sample(
    model: Callable,
    x_T: Float[Tensor, "b ..."],
    cond,
    steps: int,
    *,
    ab: Float[Tensor, "T"],
    target: str = "eps",
    guidance: float = 1.0,
    null=None,
) -> Float[Tensor, "b ..."]:
    """From noise to data in ``steps`` network calls (twice as many with guidance ≠ 1: ε = ω ε(cond) + (1 − ω) ε(null))."""
    x = x_T
    times = _times(len(ab), steps)
    for t, s in zip(times, [*times[1:], -1], strict=True):
        x = _move(model, x, cond, t, s, ab, target, guidance, null)
    return x


@torch.no_grad()
def ddim_invert(
    model: Callable, x_0: Float[Tensor, "b ..."], cond, steps: int, *, ab: Float[Tensor, "T"], target: str = "eps"
) -> Float[Tensor, "b ..."]:
    """From data to the noise that ``ddim_sample`` turns back into it; ε is taken at the point where a step starts."""
    x = x_0
    times = [-1, *reversed(_times(len(ab), steps))]
    for t, s in zip(times[:-1], times[1:], strict=True):
        x = _move(model, x, cond, t, s, ab, target, 1.0, None)
    return x


def _times(T: int, steps: int) -> list[int]:
    """``steps`` times from T − 1 down, evenly spaced."""
    if not 1 <= steps <= T:
        raise ValueError(f"steps must lie between 1 and the {T} noise levels, got {steps}")
    return [round(t) for t in torch.linspace(T - 1, 0 if steps > 1 else T - 1, steps).tolist()]


def _move(model, x: Tensor, cond, t: int, s: int, ab: Tensor, target: str, guidance: float, null) -> Tensor:
    at = torch.full((len(x),), max(t, 0))  # clean data is shown to the network as the first noise level
    level = torch.full((len(x),), t)
    eps = to_eps(model(x, at, cond), x, level if t >= 0 else at, ab, target)
    if guidance != 1.0:
        eps = guidance * eps + (1 - guidance) * to_eps(model(x, at, null), x, level if t >= 0 else at, ab, target)
    return ddim_step(x, eps, _at(ab, level, x), _at(ab, torch.full_like(level, s), x))


def timestep_embedding(t: Int[Tensor, "b"], d: int) -> Float[Tensor, "b d"]:
    """Sines and cosines of t at d/2 frequencies from 1 down to 1/10000."""
    angle = t[:, None].float() * 10_000.0 ** (-torch.arange(d // 2, device=t.device) / (d // 2))
    return torch.cat([angle.sin(), angle.cos()], dim=1)


class _Residual(nn.Module):
    """Two convolutions; between them a normalisation whose scale and shift come from time and condition (Dhariwal and Nichol 2021)."""

    def __init__(self, into: int, out: int, d: int):
        super().__init__()
        self.norm1, self.conv1 = nn.GroupNorm(min(8, into), into), nn.Conv2d(into, out, 3, padding=1)
        self.norm2, self.conv2 = nn.GroupNorm(min(8, out), out, affine=False), nn.Conv2d(out, out, 3, padding=1)
        self.modulate = nn.Linear(d, 2 * out)
        self.skip = nn.Conv2d(into, out, 1) if into != out else nn.Identity()

    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        scale, shift = self.modulate(e)[..., None, None].chunk(2, dim=1)
        return self.skip(x) + self.conv2(F.silu(self.norm2(h) * (1 + scale) + shift))


class UNet(nn.Module):
    """A small U-Net: one residual block a resolution on the way down, one in the middle, one a resolution on the way up.

    Args:
        channels: widths from the full resolution down, for instance (8, 24, 48): two halvings.
        cond_dim: width of the condition vector (0 for none).
        image_channels: of the data.
    """

    def __init__(self, channels: tuple[int, ...], cond_dim: int = 0, *, image_channels: int = 1, d: int = 64):
        super().__init__()
        self.d = d
        self.time = nn.Sequential(nn.Linear(d, d), nn.SiLU(), nn.Linear(d, d))
        self.cond = nn.Linear(cond_dim, d) if cond_dim else None
        self.first = nn.Conv2d(image_channels, channels[0], 3, padding=1)
        pairs = list(zip(channels, [*channels[1:], channels[-1]], strict=True))
        self.down = nn.ModuleList(_Residual(a, b, d) for a, b in pairs)
        self.middle = _Residual(channels[-1], channels[-1], d)
        self.up = nn.ModuleList(_Residual(2 * b, a, d) for a, b in reversed(pairs))
        self.last = nn.Conv2d(channels[0], image_channels, 3, padding=1)
        nn.init.zeros_(self.last.weight)

    def forward(
        self, x: Float[Tensor, "b c h w"], t: Int[Tensor, "b"], cond: Float[Tensor, "b k"] | None = None
    ) -> Float[Tensor, "b c h w"]:
        e = self.time(timestep_embedding(t, self.d))
        if self.cond is not None and cond is not None:
            e = e + self.cond(cond)
        x, skips = self.first(x), []
        for level, block in enumerate(self.down):
            x = block(x, e)
            skips.append(x)
            if level + 1 < len(self.down):
                x = F.avg_pool2d(x, 2)
        x = self.middle(x, e)
        for level, block in enumerate(self.up):
            if level:
                x = F.interpolate(x, scale_factor=2.0)
            x = block(torch.cat([x, skips.pop()], dim=1), e)
        return self.last(F.silu(x))


# --------------------------------------------------------------------------------------------------------------------- masked tokens


def absorb(
    x: Int[Tensor, "b l"], t: Float[Tensor, "b"], mask: int, *, generator: torch.Generator | None = None
) -> tuple[Int[Tensor, "b l"], Bool[Tensor, "b l"]]:
    """``(x_t, masked)``: every token is replaced by ``mask`` independently with its row's probability t."""
    masked = torch.rand(x.shape, generator=generator) < t[:, None]
    return torch.where(masked, mask, x), masked


def masked_loss(
    model: Callable, x: Int[Tensor, "b l"], mask: int, *, low: float = 1e-3, generator: torch.Generator | None = None
) -> Float[Tensor, ""]:
    """The bound on −log p(x) a token: ``E_t (1/t) Σ_n [masked] (−log p(x_n | x_t)) / L``, t spread evenly over the batch.

    ``model(x_t)`` gives logits (B, L, V). Even spread (low-discrepancy t) has the same mean and less variance than independent draws.
    """
    B, L = x.shape
    t = low + (1 - low) * ((torch.rand(1, generator=generator) + torch.arange(B) / B) % 1)
    x_t, masked = absorb(x, t, mask, generator=generator)
    nll = F.cross_entropy(model(x_t).flatten(0, 1), x.flatten(), reduction="none").view(B, L)
    return ((nll * masked).sum(1) / t).mean() / L


@torch.no_grad()
def masked_decode(
    model: Callable,
    x: Int[Tensor, "b l"],
    mask: int,
    *,
    k: int = 1,
    temperature: float = 0.0,
    confidence: str = "probability",
    generator: torch.Generator | None = None,
) -> tuple[Int[Tensor, "b l"], Int[Tensor, "b l"]]:
    """Fill the masks, the ``k`` most confident a step: ``(x, order)``, order = the step at which a position was filled (−1: given).

    Args:
        temperature: 0 takes the most likely token at every position; otherwise a candidate is drawn at every masked position.
        confidence: ``probability`` of the candidate, ``entropy`` (the lower the better) or ``margin`` between the two most likely tokens.
    """
    x, order, step = x.clone(), torch.full_like(x, -1), 0
    while bool((open_ := x == mask).any()):
        logits = model(x)
        logits[..., mask] = float("-inf")  # the mask itself is no answer
        p = (logits / temperature).softmax(-1) if temperature > 0 else logits.softmax(-1)
        if temperature > 0:
            token = torch.multinomial(p.flatten(0, 1), 1, generator=generator).view_as(x)
        else:
            token = p.argmax(-1)
        if confidence == "probability":
            score = p.gather(2, token[..., None])[..., 0]
        elif confidence == "entropy":
            score = torch.special.xlogy(p, p).sum(-1)
        elif confidence == "margin":
            score = p.topk(2, dim=-1).values @ torch.tensor([1.0, -1.0])
        else:
            raise ValueError(f"unknown confidence {confidence!r}; choose probability, entropy or margin")
        score = score.masked_fill(~open_, float("-inf"))
        chosen = torch.zeros_like(open_).scatter(1, score.topk(min(k, x.shape[1]), dim=1).indices, True) & open_
        x, order = torch.where(chosen, token, x), torch.where(chosen, step, order)
        step += 1
    return x, order
