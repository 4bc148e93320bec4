"""In-context linear regression: prompts made of pairs (x, y), the algorithms that could answer them, and attention that is one of them.

``LinearRegressionSampler``  draws prompts; ``tokens_xy`` and ``tokens_pairs`` turn them into tokens
``ols_prefix`` … ``knn_prefix``  reference predictors: the answer at pair i from the pairs before it (Akyürek et al. 2022, §3)
``LinearSelfAttention``  attention without softmax; with the weights of ``gd_construction`` it is one step of gradient descent
``gdpp_step`` ``eta_star`` ``sensitivity``  what trained layers are compared with (von Oswald et al. 2022, §2–3)

``B`` prompts, ``N`` pairs, ``d`` inputs, ``m`` outputs, ``D`` = d + m width of a pair token, ``T`` tokens, ``H`` heads.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

__all__ = [
    "LinearRegressionSampler",
    "LinearSelfAttention",
    "eta_star",
    "gd_construction",
    "gd_prefix",
    "gdpp_step",
    "knn_prefix",
    "linear_self_attention",
    "ols_prefix",
    "ridge_prefix",
    "sensitivity",
    "sgd_prefix",
    "tokens_pairs",
    "tokens_xy",
]


Number = float | int

# ------------------------------------------------------------------------------------------------------------------------ prompts


@dataclass(frozen=True, kw_only=True)
class LinearRegressionSampler:
    """Prompts of ``n`` pairs that share one weight vector: y_i = w·x_i + ε_i, w ~ N(0, τ²I), ε ~ N(0, noise²).

    Inputs are x ~ N(0, I) (Akyürek et al.), or with ``uniform=a`` x ~ U(−a, a)^d (von Oswald et al.).
    """

    d: int
    n: int
    tau: Number = 1.0
    noise: Number = 0.0  # standard deviation
    uniform: Number | None = None

    def __call__(
        self, batch: int, generator: torch.Generator | None = None
    ) -> tuple[Float[Tensor, "b n d"], Float[Tensor, "b n"], Float[Tensor, "b d"]]:
        """Draw ``batch`` prompts: inputs x, labels y and the hidden weights w."""
        shape = (batch, self.n, self.d)
        if self.uniform is None:
            x = torch.randn(shape, generator=generator)
        else:
            x = self.uniform * (2 * torch.rand(shape, generator=generator) - 1)
        w = self.tau * torch.randn(batch, self.d, generator=generator)
        y = torch.einsum("bnd,bd->bn", x, w) + self.noise * torch.randn(batch, self.n, generator=generator)
        return x, y, w


def tokens_xy(x: Float[Tensor, "b n d"], y: Float[Tensor, "b n"]) -> Float[Tensor, "b 2*n d+1"]:
    """Two tokens a pair, in turn: (0, x_1), (y_1, 0), (0, x_2), … (Akyürek et al. 2022)."""
    x_tokens = nn.functional.pad(x, (1, 0))
    y_tokens = nn.functional.pad(y[..., None], (0, x.shape[-1]))
    return torch.stack([x_tokens, y_tokens], dim=2).flatten(1, 2)


def tokens_pairs(x: Float[Tensor, "b n d"], y: Float[Tensor, "b n"]) -> Float[Tensor, "b n d+1"]:
    """One token a pair: (x_1, y_1), …, and the last pair as the query (x_n, 0) (von Oswald et al. 2022)."""
    E = torch.cat([x, y[..., None]], dim=-1)
    E[:, -1, -1] = 0
    return E


# -------------------------------------------------------------------------------------------------------------- reference predictors
# All take x (B, N, d) and y (B, N) and return predictions (B, N): entry i from the pairs before i alone, so entry 0 is 0.


def ols_prefix(x: Float[Tensor, "b n d"], y: Float[Tensor, "b n"]) -> Float[Tensor, "b n"]:
    """Least squares; of all solutions the shortest while there are fewer pairs than inputs."""
    guesses = [torch.zeros_like(y[:, 0])]
    for i in range(1, y.shape[1]):
        w = torch.linalg.pinv(x[:, :i]) @ y[:, :i, None]
        guesses.append((x[:, i, None] @ w)[:, 0, 0])
    return torch.stack(guesses, dim=1)


def ridge_prefix(x: Float[Tensor, "b n d"], y: Float[Tensor, "b n"], lam: Number) -> Float[Tensor, "b n"]:
    """Minimiser of Σ(w·x − y)² + λ‖w‖². With λ = noise²/τ² it is the posterior mean; λ = 0 is ``ols_prefix``."""
    if lam < 0:
        raise ValueError(f"the penalty must not be negative, got {lam}")
    if lam == 0:
        return ols_prefix(x, y)
    second, first = _moments(x, y)
    w = torch.linalg.solve(second + lam * torch.eye(x.shape[-1], dtype=x.dtype), first)
    return (w * x).sum(-1)


def gd_prefix(x: Float[Tensor, "b n d"], y: Float[Tensor, "b n"], alpha: Number, *, mean: bool = True) -> Float[Tensor, "b n"]:
    """One step of gradient descent from w = 0: w = α Σ y x, with ``mean`` divided by the number of pairs seen."""
    w = alpha * _moments(x, y)[1]
    if mean:
        w = w / torch.arange(y.shape[1]).clamp(min=1)[:, None]
    return (w * x).sum(-1)


def sgd_prefix(x: Float[Tensor, "b n d"], y: Float[Tensor, "b n"], alpha: Number) -> Float[Tensor, "b n"]:
    """One pass of stochastic gradient descent from w = 0, a pair a step: w ← w − 2α(w·x − y)x."""
    w, guesses = torch.zeros_like(x[:, 0]), []
    for i in range(y.shape[1]):
        guesses.append((w * x[:, i]).sum(-1))
        w = w - 2 * alpha * (guesses[-1] - y[:, i])[:, None] * x[:, i]
    return torch.stack(guesses, dim=1)


def knn_prefix(x: Float[Tensor, "b n d"], y: Float[Tensor, "b n"], k: int = 3) -> Float[Tensor, "b n"]:
    """Mean label of the ``k`` nearest earlier inputs (of all of them while there are fewer)."""
    guesses = [torch.zeros_like(y[:, 0])]
    for i in range(1, y.shape[1]):
        nearest = torch.cdist(x[:, i, None], x[:, :i])[:, 0].topk(min(k, i), largest=False).indices
        guesses.append(y[:, :i].gather(1, nearest).mean(1))
    return torch.stack(guesses, dim=1)


def _moments(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Σ x xᵀ (B, N, d, d) and Σ y x (B, N, d) over the pairs before each position."""
    second, first = x[..., :, None] * x[..., None, :], y[..., None] * x
    return second.cumsum(1) - second, first.cumsum(1) - first


# ----------------------------------------------------------------------------------------------- attention as gradient descent


def linear_self_attention(
    E: Float[Tensor, "b t D"],
    W_Q: Float[Tensor, "*h D D"],
    W_K: Float[Tensor, "*h D D"],
    W_V: Float[Tensor, "*h D D"],
    P: Float[Tensor, "*h D D"],
    *,
    context_only: bool = True,
) -> Float[Tensor, "b t D"]:
    """e_j ← e_j + Σ_h P Σ_i (W_V e_i)((W_K e_i)·(W_Q e_j)): no softmax, no 1/√D, no bias (von Oswald et al. 2022, eq. 3).

    ``context_only`` takes keys and values from all tokens but the last, which is the query.
    """
    e = E[:, None]  # one copy a head; weights without a head axis count as one head
    c = e[:, :, :-1] if context_only else e
    scores = (e @ W_Q.mT) @ (c @ W_K.mT).mT
    return E + (scores @ (c @ W_V.mT) @ P.mT).sum(1)


class LinearSelfAttention(nn.Module):
    """``linear_self_attention`` with weights to train, each (H, D, D): P starts at zero, the others are drawn from N(0, std²).

    So the layer starts as the identity, and the first steps give P the sign that fits the other three. With four random factors some seeds
    start on the wrong side of the saddle at zero and stay there for long; with four zeros there is no gradient at all.
    """

    def __init__(self, D: int, heads: int = 1, *, context_only: bool = True, std: Number = 0.05):
        super().__init__()
        self.context_only = context_only
        self.W_Q, self.W_K, self.W_V = (nn.Parameter(std * torch.randn(heads, D, D)) for _ in range(3))
        self.P = nn.Parameter(torch.zeros(heads, D, D))

    def forward(self, E: Float[Tensor, "b t D"]) -> Float[Tensor, "b t D"]:
        return linear_self_attention(E, self.W_Q, self.W_K, self.W_V, self.P, context_only=self.context_only)


def gd_construction(W0: Float[Tensor, "m d"], eta: Number, n: int) -> dict[str, Float[Tensor, "D D"]]:
    """Weights that make one layer one gradient step from W0 on (1/2n) Σ‖W x_i − y_i‖² (von Oswald et al. 2022, Prop. 1).

    The query token must carry −W0 x in its y-part; after the layer it carries −(W0 + ΔW) x.
    """
    m, d = W0.shape
    W_K, W_V = torch.zeros(2, d + m, d + m, dtype=W0.dtype)
    W_K[:d, :d] = torch.eye(d)  # keys and queries see x alone
    W_V[d:, :d], W_V[d:, d:] = W0, -torch.eye(m)  # the value is the residual W0 x − y
    return {"W_Q": W_K.clone(), "W_K": W_K, "W_V": W_V, "P": eta / n * torch.eye(d + m, dtype=W0.dtype)}


def gdpp_step(E: Float[Tensor, "b t D"], eta: Number | Tensor, gamma: Number | Tensor, *, m: int = 1) -> Float[Tensor, "b t D"]:
    """One step of GD++ on pair tokens whose last token is the query (von Oswald et al. 2022, §3).

    Labels move by a gradient step as in ``gd_construction`` with W0 = 0; inputs move by x ← (I − γ Σ x_i x_iᵀ) x. Both read the old x.
    """
    X, Y, x = E[:, :-1, :-m], E[:, :-1, -m:], E[..., :-m]
    scores = x @ X.mT  # (B, T, N)
    return E - torch.cat([gamma * (scores @ X), eta / X.shape[1] * (scores @ Y)], dim=-1)


def eta_star(n: int, d: int, a: Number) -> float:
    """The best single step size for x ~ U(−a, a)^d and w ~ N(0, I): E tr S / E tr S² with S = (1/n) Σ x_i x_iᵀ."""
    second, fourth = a**2 / 3, a**4 / 5  # moments of one coordinate
    trace = d * second
    trace_of_square = (d * fourth + d * (d - 1) * second**2 + (n - 1) * d * second**2) / n
    return trace / trace_of_square


def sensitivity(f: Callable[[Tensor], Tensor], E: Float[Tensor, "b t D"], *, m: int = 1) -> Float[Tensor, "b d"]:
    """∂f/∂x_query for f that maps tokens to one prediction a prompt (B,). For a linear predictor it is the weight vector."""
    E = E.detach().clone().requires_grad_()
    (gradient,) = torch.autograd.grad(f(E).sum(), E)
    return gradient[:, -1, :-m]
