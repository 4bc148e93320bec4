"""Forecasting many series at once: the protocol that lessons 16–19 share, its baselines, and the two model families.

Introduced in lesson 17, where every part is written out step by step. Protocol: hourly rows split 70/10/20 in time order, scaled with the
mean and deviation of the training rows, look-back T = 168 and horizon S = 24, windows at stride 1 with none dropped, MSE and MAE on scaled
values. A window of the validation or test part may *read* rows from before its part; its targets never lie there.

``ForecastData``  windows by index            ``EncoderLayer``      post-norm layer around any mixer
``evaluate``      scores of a forecaster      ``InvertedEncoder``   layers over variate tokens
``train``         the protocol's training     ``ITransformer``      Liu et al. 2023, arXiv 2310.06625
``row``           a line of the common table  ``InformerShell``     encoder–decoder over time tokens, Zhou et al. 2020, arXiv 2012.07436
``fit_linear``, ``seasonal_naive``

``B`` windows, ``R`` rows (hours), ``T`` look-back, ``S`` horizon, ``N`` variates, ``M`` calendar marks, ``D`` width, ``H`` heads,
``F`` width of the FFN, ``P`` label length. A *forecaster* is a function x (B, T, N) → (B, S, N).
"""

from collections.abc import Callable, Sequence
from itertools import zip_longest
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F_

from minilib.attention import attention
from minilib.data.series import Series, hourly7
from minilib.informer import Distil, prob_sparse_attention
from minilib.layers import sinusoids
from minilib.training import Run, fit

__all__ = [
    "EncoderLayer", "ForecastData", "InformerShell", "InvertedEmbedding", "InvertedEncoder", "ITransformer", "Scores", "SelfAttention",
    "evaluate", "fit_linear", "instance_norm", "row", "seasonal_naive", "train",
]  # fmt: skip

# ------------------------------------------------------------------------------------------------------------------- the protocol


class ForecastData:
    """All windows of a series. A window is named by the row of its first target: ``train``, ``val`` and ``test`` hold those rows.

    Args:
        T, S: look-back and horizon in hours.
        columns: names of the variates to keep; all of them by default.
        series: ``hourly7()`` by default.
    """

    def __init__(self, T: int, S: int, columns: Sequence[str] | None = None, series: Series | None = None):
        series = hourly7() if series is None else series
        self.T, self.S, self.names = T, S, tuple(columns or series.names)
        raw = series.values[:, [series.names.index(name) for name in self.names]]
        R = len(raw)
        first, second = int(0.7 * R), int(0.8 * R)
        self.mean, self.sd = raw[:first].mean(0), raw[:first].std(0, correction=0)
        self.values: Float[Tensor, "r n"] = ((raw - self.mean) / self.sd).float()
        self.marks: Float[Tensor, "r 2"] = series.calendar()
        self.train, self.val, self.test = (
            torch.arange(start, stop - S + 1) for start, stop in [(T, first), (max(T, first), second), (max(T, second), R)]
        )

    def batch(self, idx: Int[Tensor, "b"]) -> tuple[Float[Tensor, "b t n"], Float[Tensor, "b s n"], Float[Tensor, "b t+s m"]]:
        """Inputs (B, T, N), targets (B, S, N) and calendar marks of both (B, T+S, 2)."""
        rows = idx[:, None] + torch.arange(-self.T, self.S)
        window = self.values[rows]
        return window[:, : self.T], window[:, self.T :], self.marks[rows]


class Scores(NamedTuple):
    """Means over windows, steps and variates, on scaled values; ``per_variate`` is the MSE of each variate (N,)."""

    mse: float
    mae: float
    per_variate: Float[Tensor, "n"]


@torch.no_grad()
def evaluate(f: Callable[..., Tensor], data: ForecastData, split: str = "test", *, every: int = 1, marks: bool = False) -> Scores:
    """Score a forecaster on every window of a part (or on each ``every``-th); with ``marks`` it is called as f(x, marks)."""
    squares, absolute, windows = torch.zeros(len(data.names), dtype=torch.float64), 0.0, getattr(data, split)[::every]
    for idx in windows.split(512):
        x, y, calendar = data.batch(idx)
        error = (f(x, calendar) if marks else f(x)) - y
        squares += error.square().sum((0, 1))
        absolute += float(error.abs().sum())
    per_variate = squares / (len(windows) * data.S)
    return Scores(float(per_variate.mean()), absolute / (len(windows) * data.S * len(data.names)), per_variate.float())


def train(model: nn.Module, data: ForecastData, *, steps: int, seed: int, lr: float = 3e-3, batch: int = 32, marks: bool = False) -> Run:
    """Train on the MSE of random training windows; four looks at every third validation window, the best one is restored."""
    call = lambda m, x, calendar: m(x, calendar) if marks else m(x)  # noqa: E731
    return fit(
        model,
        lambda generator: data.batch(data.train[torch.randint(len(data.train), (batch,), generator=generator)]),
        lambda m, xym: F_.mse_loss(call(m, xym[0], xym[2]), xym[1]),
        steps=steps,
        lr=lr,
        seed=seed,
        betas=(0.9, 0.999),
        evaluate=lambda m: evaluate(m, data, "val", every=3, marks=marks).mse,
        every=max(1, steps // 4),
        keep_best=True,
        label=type(model).__name__,
    )


def row(scores: Sequence[Scores], parameters: int = 0, seconds: Sequence[float] = ()) -> dict[str, float | int | list[float]]:
    """A line of the table in which lessons 16–19 end (``minilib.results.table``): scores and CPU seconds of training, one a seed."""
    line: dict[str, float | int | list[float]] = {
        "test MSE": [s.mse for s in scores],
        "MAE": [s.mae for s in scores],
        "parameters": parameters,
    }
    return line | ({"CPU s": sum(seconds) / len(seconds)} if seconds else {})


def seasonal_naive(x: Float[Tensor, "b t n"], S: int, period: int) -> Float[Tensor, "b s n"]:
    """Repeat the last ``period`` hours: 24 says "as yesterday", 168 "as a week ago"."""
    if not period <= x.shape[1]:
        raise ValueError(f"the look-back holds {x.shape[1]} hours, less than the period of {period}")
    return x[:, -period:].repeat(1, -(-S // period), 1)[:, :S]


def fit_linear(data: ForecastData, ridge: float = 1.0, center: str = "last") -> Callable[[Tensor], Tensor]:
    """The best linear map of its family, solved exactly: y − c = [x − c, 1] W, one W (T+1, S) shared by all variates.

    The level c of a window is its ``last`` value (NLinear, Zeng et al. 2022, arXiv 2205.13504) or its ``mean``. Normal equations in
    float64, with ``ridge`` on the diagonal.
    """
    level = {"last": lambda x: x[:, -1:], "mean": lambda x: x.mean(1, keepdim=True)}[center]

    def rows(x: Tensor) -> Tensor:  # (B, T, N) → (B, N, T+1)
        z = (x - level(x)).transpose(1, 2)
        return torch.cat([z, torch.ones_like(z[..., :1])], dim=-1)

    gram, moment = ridge * torch.eye(data.T + 1, dtype=torch.float64), torch.zeros(data.T + 1, data.S, dtype=torch.float64)
    for idx in data.train.split(2048):
        x, y, _ = data.batch(idx)
        A, Y = rows(x).flatten(0, 1).double(), (y - level(x)).transpose(1, 2).flatten(0, 1).double()
        gram, moment = gram + A.T @ A, moment + A.T @ Y
    W = torch.linalg.solve(gram, moment).float()
    return lambda x: (rows(x) @ W).transpose(1, 2) + level(x)


# ------------------------------------------------------------------------------------------------------------- what layers share


def instance_norm(x: Float[Tensor, "b t n"]) -> tuple[Float[Tensor, "b t n"], Float[Tensor, "b 1 n"], Float[Tensor, "b 1 n"]]:
    """(x − μ)/σ, μ, σ of every window and variate; biased variance, 1e-5 inside the root (Liu et al. 2022, arXiv 2205.14415)."""
    mu = x.mean(1, keepdim=True)
    sigma = (x.var(1, keepdim=True, correction=0) + 1e-5).sqrt()
    return (x - mu) / sigma, mu, sigma


def full_attention(q: Tensor, k: Tensor, v: Tensor, *, causal: bool = False, keep: list[Tensor] | None = None) -> Tensor:
    """Every query sees every key; the causal form lets a query see nothing later than itself."""
    return attention(q, k, v, causal=causal, keep=keep)


ATTENTION = {"full": full_attention, "prob": prob_sparse_attention}  # by name, each (q, k, v, causal=, keep=) on (B, H, L, D/H)


class SelfAttention(nn.Module):
    """Multi-head attention with biases; reads from ``context`` where that is given."""

    def __init__(self, D: int, H: int, *, causal: bool = False, attn: str = "full"):
        super().__init__()
        if attn not in ATTENTION:
            raise ValueError(f"unknown attention {attn!r}; choose one of {', '.join(ATTENTION)}")
        self.H, self.causal, self.attn = H, causal, ATTENTION[attn]
        self.q, self.k, self.v, self.o = (nn.Linear(D, D) for _ in range(4))

    def forward(
        self, x: Float[Tensor, "b l d"], context: Float[Tensor, "b j d"] | None = None, *, keep: list[Tensor] | None = None
    ) -> Float[Tensor, "b l d"]:
        split = lambda y: y.unflatten(-1, (self.H, -1)).transpose(1, 2)  # noqa: E731
        source = x if context is None else context
        out = self.attn(split(self.q(x)), split(self.k(source)), split(self.v(source)), causal=self.causal, keep=keep)
        return self.o(out.transpose(1, 2).flatten(-2))


def ffn(D: int, F: int) -> nn.Module:
    """Two maps with a GELU between them, applied to each token alone."""
    return nn.Sequential(nn.Linear(D, F), nn.GELU(), nn.Linear(F, D))


class EncoderLayer(nn.Module):
    """Z ← LN(Z + mixer(Z)), Z ← LN(Z + FFN(Z)): post-norm. Without a mixer or FFN its sum is left out, the norm stays.

    ``mixer`` is any module (B, tokens, D) → (B, tokens, D); one that takes ``keep`` records its weights there.
    """

    def __init__(self, mixer: nn.Module | None, D: int, F: int | None):
        super().__init__()
        self.mixer, self.norm1 = mixer, nn.LayerNorm(D)
        self.ffn, self.norm2 = ffn(D, F) if F else None, nn.LayerNorm(D)

    def forward(self, z: Float[Tensor, "b l d"], keep: list[Tensor] | None = None) -> Float[Tensor, "b l d"]:
        if self.mixer is not None:
            z = z + (self.mixer(z) if keep is None else self.mixer(z, keep=keep))
        z = self.norm1(z)
        return self.norm2(z if self.ffn is None else z + self.ffn(z))


# ------------------------------------------------------------------------------------------------------------- tokens = variates


class InvertedEmbedding(nn.Module):
    """One token a variate: its whole look-back, through a map (T → D) that all variates share. Marks become further tokens."""

    def __init__(self, T: int, D: int):
        super().__init__()
        self.proj = nn.Linear(T, D)

    def forward(self, x: Float[Tensor, "b t n"], marks: Float[Tensor, "b t m"] | None = None) -> Float[Tensor, "b tokens d"]:
        return self.proj((x if marks is None else torch.cat([x, marks], dim=-1)).transpose(1, 2))


class InvertedEncoder(nn.Module):
    """L layers and a last norm over tokens in any number and order; ``mixer()`` makes the mixer of one layer, or is None.

    ``distil`` halves the number of tokens between two layers (for tokens with an order: hours).
    """

    def __init__(self, mixer: Callable[[], nn.Module] | None, D: int, F: int | None, L: int, *, distil: bool = False):
        super().__init__()
        self.layers = nn.ModuleList(EncoderLayer(mixer() if mixer else None, D, F) for _ in range(L))
        self.distil = nn.ModuleList(Distil(D) for _ in range(L - 1) if distil)
        self.norm = nn.LayerNorm(D)

    def forward(self, z: Float[Tensor, "b n d"], keep: list[Tensor] | None = None) -> Float[Tensor, "b m d"]:
        for layer, between in zip_longest(self.layers, self.distil):
            z = layer(z, keep)
            z = z if between is None else between(z)
        return self.norm(z)


class ITransformer(nn.Module):
    """Instance norm, inverted embedding, encoder over variates, one map (D → S), de-normalisation. No dropout.

    ``attention``, ``ffn`` and ``norm`` switch one part off each. ``encoder`` may be exchanged for one with another mixer.
    """

    def __init__(self, T: int, S: int, D: int, H: int, F: int, L: int, *, attention: bool = True, ffn: bool = True, norm: bool = True):
        super().__init__()
        self.norm, self.embed = norm, InvertedEmbedding(T, D)
        self.encoder = InvertedEncoder((lambda: SelfAttention(D, H)) if attention else None, D, F if ffn else None, L)
        self.head = nn.Linear(D, S)

    def forward(
        self, x: Float[Tensor, "b t n"], marks: Float[Tensor, "b u m"] | None = None, *, keep: list[Tensor] | None = None
    ) -> Float[Tensor, "b s n"]:
        """Forecast. ``marks`` (of the look-back) join as tokens and are dropped after the head; ``keep`` gets the weights."""
        z, mu, sigma = instance_norm(x) if self.norm else (x, 0.0, 1.0)
        z = self.encoder(self.embed(z, None if marks is None else marks[:, : x.shape[1]]), keep)
        return self.head(z).transpose(1, 2)[..., : x.shape[-1]] * sigma + mu


# ---------------------------------------------------------------------------------------------------------------- tokens = hours


class TimeEmbedding(nn.Module):
    """One token an hour: a width-3 circular convolution over the N values, plus position, plus a linear map of the calendar."""

    def __init__(self, N: int, D: int, M: int = 2):
        super().__init__()
        self.values = nn.Conv1d(N, D, 3, padding=1, padding_mode="circular", bias=False)
        nn.init.kaiming_normal_(self.values.weight, mode="fan_in", nonlinearity="leaky_relu")
        self.calendar = nn.Linear(M, D, bias=False)

    def forward(self, x: Float[Tensor, "b l n"], marks: Float[Tensor, "b l m"]) -> Float[Tensor, "b l d"]:
        values = self.values(x.transpose(1, 2)).transpose(1, 2)
        return values + sinusoids(x.shape[1], values.shape[-1]).to(x) + self.calendar(marks)


class DecoderLayer(nn.Module):
    """Post-norm: causal self-attention, attention to the encoder's output, FFN."""

    def __init__(self, D: int, H: int, F: int, attn: str):
        super().__init__()
        self.own, self.cross, self.ffn = SelfAttention(D, H, causal=True, attn=attn), SelfAttention(D, H), ffn(D, F)
        self.norms = nn.ModuleList(nn.LayerNorm(D) for _ in range(3))

    def forward(self, z: Float[Tensor, "b l d"], memory: Float[Tensor, "b j d"]) -> Float[Tensor, "b l d"]:
        z = self.norms[0](z + self.own(z))
        z = self.norms[1](z + self.cross(z, memory))
        return self.norms[2](z + self.ffn(z))


class InformerShell(nn.Module):
    """Encoder–decoder with one token an hour: Informer with ``attn="prob", distil=True``, by default the vanilla transformer.

    The decoder starts from the last ``label`` values of the look-back and S zeros under the true future marks, and emits the whole horizon
    in one pass (Zhou et al. 2020, §3.4).
    """

    def __init__(
        self, N: int, T: int, S: int, label: int, D: int, H: int, F: int, enc: int, dec: int, *, attn: str = "full", distil: bool = False
    ):
        super().__init__()
        if not 0 < label <= T:
            raise ValueError(f"the label must lie between 1 and T = {T} hours, got {label}")
        self.S, self.label = S, label
        self.embed_past, self.embed_start = TimeEmbedding(N, D), TimeEmbedding(N, D)
        self.encoder = InvertedEncoder(lambda: SelfAttention(D, H, attn=attn), D, F, enc, distil=distil)  # over hours
        self.decoder = nn.ModuleList(DecoderLayer(D, H, F, attn) for _ in range(dec))
        self.norm, self.head = nn.LayerNorm(D), nn.Linear(D, N)

    def decoder_input(self, x: Float[Tensor, "b t n"]) -> Float[Tensor, "b u n"]:
        """The last ``label`` values, then S zeros that hold the place of the forecast."""
        return torch.cat([x[:, -self.label :], x.new_zeros(len(x), self.S, x.shape[-1])], dim=1)

    def forward(self, x: Float[Tensor, "b t n"], marks: Float[Tensor, "b u m"]) -> Float[Tensor, "b s n"]:
        T = x.shape[1]
        memory = self.encoder(self.embed_past(x, marks[:, :T]))
        z = self.embed_start(self.decoder_input(x), marks[:, T - self.label :])
        for layer in self.decoder:
            z = layer(z, memory)
        return self.head(self.norm(z))[:, -self.S :]
