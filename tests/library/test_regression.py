"""In-context regression: the samplers, the reference predictors, and attention that is gradient descent."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minilib.regression import (
    LinearRegressionSampler,
    LinearSelfAttention,
    eta_star,
    gd_construction,
    gd_prefix,
    gdpp_step,
    knn_prefix,
    linear_self_attention,
    ols_prefix,
    ridge_prefix,
    sensitivity,
    sgd_prefix,
    tokens_pairs,
    tokens_xy,
)

PREDICTORS = {
    "ols": ols_prefix,
    "ridge": lambda x, y: ridge_prefix(x, y, 0.3),
    "gd": lambda x, y: gd_prefix(x, y, 0.4),
    "sgd": lambda x, y: sgd_prefix(x, y, 0.05),
    "knn": knn_prefix,
}
sizes = {"B": st.integers(1, 3), "n": st.integers(1, 7), "d": st.integers(1, 4), "seed": st.integers(0, 999)}


def prompts(B, n, d, seed, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(B, n, d, generator=generator, dtype=dtype), torch.randn(B, n, generator=generator, dtype=dtype)


def step_by_hand(x, y, w, eta):
    """One gradient step on the mean of half squares over all pairs but the last."""
    X, Y = x[:, :-1], y[:, :-1]
    residual = torch.einsum("bnd,bd->bn", X, w) - Y
    return w - eta * torch.einsum("bn,bnd->bd", residual, X) / X.shape[1]


# ------------------------------------------------------------------------------------------------------------------------ prompts


def test_prompts_without_noise_are_linear():
    x, y, w = LinearRegressionSampler(d=3, n=5)(4, torch.Generator().manual_seed(0))
    torch.testing.assert_close(y, torch.einsum("bnd,bd->bn", x, w))


def test_prompts_have_the_moments_they_promise():
    x, y, w = LinearRegressionSampler(d=2, n=10, tau=2.0, noise=0.5, uniform=3.0)(20_000, torch.Generator().manual_seed(1))
    assert x.abs().max() <= 3 and abs(float(x.square().mean()) - 3.0) < 0.03
    assert abs(float(w.std()) - 2.0) < 0.03
    assert abs(float((y - torch.einsum("bnd,bd->bn", x, w)).std()) - 0.5) < 0.01


def test_same_generator_same_prompts():
    draw = LinearRegressionSampler(d=2, n=3, noise=1.0)
    first, second = (draw(5, torch.Generator().manual_seed(7)) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@given(**sizes)
def test_interleaved_tokens_hold_either_an_input_or_a_label(B, n, d, seed):
    x, y = prompts(B, n, d, seed)
    tokens = tokens_xy(x, y)
    assert tokens.shape == (B, 2 * n, d + 1)
    assert (tokens[:, 0::2, 0] == 0).all() and torch.equal(tokens[:, 0::2, 1:], x)
    assert (tokens[:, 1::2, 1:] == 0).all() and torch.equal(tokens[:, 1::2, 0], y)


def test_the_query_of_pair_tokens_has_no_label():
    x, y = prompts(2, 4, 3, 0)
    E = tokens_pairs(x, y)
    assert (E[:, -1, -1] == 0).all() and torch.equal(E[:, :-1, -1], y[:, :-1]) and torch.equal(E[..., :-1], x)
    assert (y[:, -1] != 0).all()  # the labels that came in are untouched


# -------------------------------------------------------------------------------------------------------------- reference predictors


@pytest.mark.parametrize("name", PREDICTORS)
@settings(max_examples=20)
@given(**sizes)
def test_predictors_read_earlier_pairs_only(name, B, n, d, seed):
    x, y = prompts(B, n, d, seed)
    guesses = PREDICTORS[name](x, y)
    assert guesses.shape == (B, n) and (guesses[:, 0] == 0).all()
    for i in range(n):
        later_x, later_y = x.clone(), y.clone()
        later_x[:, i + 1 :] += 1
        later_y[:, i:] += 1
        torch.testing.assert_close(PREDICTORS[name](later_x, later_y)[:, : i + 1], guesses[:, : i + 1])


@given(**sizes)
def test_least_squares_is_the_limit_of_ridge(B, n, d, seed):
    x, y = prompts(B, n, d, seed)
    assert torch.equal(ridge_prefix(x, y, 0), ols_prefix(x, y))
    torch.testing.assert_close(1e6 * ridge_prefix(x, y, 1e6), gd_prefix(x, y, 1.0, mean=False), atol=1e-3, rtol=1e-3)


def test_ridge_meets_its_normal_equations():
    x, y = prompts(3, 9, 4, 2)
    w = torch.linalg.solve(x[:, :8].mT @ x[:, :8] + 0.7 * torch.eye(4), x[:, :8].mT @ y[:, :8, None])
    torch.testing.assert_close(ridge_prefix(x, y, 0.7)[:, 8], (x[:, 8, None] @ w)[:, 0, 0])


def test_least_squares_is_exact_once_there_are_enough_pairs():
    x, y, _ = LinearRegressionSampler(d=3, n=8)(50, torch.Generator().manual_seed(3))
    guesses = ols_prefix(x.double(), y.double())
    torch.testing.assert_close(guesses[:, 4:], y.double()[:, 4:], atol=1e-3, rtol=1e-3)
    assert (guesses[:, 1:3] - y[:, 1:3]).abs().mean() > 0.1


def test_a_negative_penalty_is_refused():
    with pytest.raises(ValueError, match="must not be negative"):
        ridge_prefix(*prompts(1, 3, 2, 0), -1.0)


def test_gradient_steps_are_those_of_autograd():
    x, y = prompts(2, 6, 3, 4)
    for i in range(1, 6):
        w = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
        (gradient,) = torch.autograd.grad(((x[:, :i] @ w[..., None])[..., 0] - y[:, :i]).square().mean(1).sum() / 2, w)
        torch.testing.assert_close(gd_prefix(x, y, 0.4)[:, i], (-0.4 * gradient * x[:, i]).sum(-1))
    w = torch.zeros(2, 3, dtype=torch.float64)
    for i in range(6):
        torch.testing.assert_close(sgd_prefix(x, y, 0.05)[:, i], (w * x[:, i]).sum(-1))
        w = w - 0.1 * ((w * x[:, i]).sum(-1) - y[:, i])[:, None] * x[:, i]


def test_nearest_neighbours():
    x = torch.tensor([[[0.0], [1.0], [2.0], [10.0], [1.1]]])
    y = torch.tensor([[1.0, 2.0, 3.0, 100.0, 0.0]])
    torch.testing.assert_close(knn_prefix(x, y, k=1)[0], torch.tensor([0.0, 1.0, 2.0, 3.0, 2.0]))
    torch.testing.assert_close(knn_prefix(x, y, k=3)[0, 4], torch.tensor(2.0))


# --------------------------------------------------------------------------------------------------- attention as gradient descent


@settings(max_examples=20)
@given(
    B=st.integers(1, 2), t=st.integers(1, 5), D=st.integers(1, 4), heads=st.integers(1, 3), alone=st.booleans(), seed=st.integers(0, 999)
)
def test_linear_attention_equals_its_sum(B, t, D, heads, alone, seed):
    generator = torch.Generator().manual_seed(seed)
    E = torch.randn(B, t, D, generator=generator, dtype=torch.float64)
    Q, K, V, P = torch.randn(4, heads, D, D, generator=generator, dtype=torch.float64)
    want = E.clone()
    for b in range(B):
        for j in range(t):
            for i in range(t - alone):
                for h in range(heads):
                    want[b, j] += P[h] @ V[h] @ E[b, i] * ((K[h] @ E[b, i]) @ (Q[h] @ E[b, j]))
    torch.testing.assert_close(linear_self_attention(E, Q, K, V, P, context_only=alone), want)


def test_a_fresh_layer_is_the_identity_and_can_learn():
    layer, E = LinearSelfAttention(4, heads=2), torch.randn(3, 5, 4)
    assert torch.equal(layer(E), E)
    layer(E).square().sum().backward()
    assert layer.P.grad.abs().max() > 0


@settings(max_examples=20)
@given(n=st.integers(1, 6), d=st.integers(1, 4), m=st.integers(1, 3), layers=st.integers(1, 4), seed=st.integers(0, 999))
def test_stacked_constructions_are_gradient_steps(n, d, m, layers, seed):
    generator = torch.Generator().manual_seed(seed)
    X, Y, x, W0 = (torch.randn(s, generator=generator, dtype=torch.float64) for s in [(n, d), (n, m), (d,), (m, d)])
    E = torch.cat([torch.cat([X, Y], 1), torch.cat([x, -W0 @ x])[None]])[None]
    W = W0
    for _ in range(layers):
        E = linear_self_attention(E, **gd_construction(W0, 0.3, n))
        W = W - 0.3 / n * (X @ W.T - Y).T @ X
    torch.testing.assert_close(-E[0, -1, d:], W @ x)
    torch.testing.assert_close(E[0, :-1, d:], Y - X @ (W - W0).T)


@given(n=st.integers(2, 7), d=st.integers(1, 4), seed=st.integers(0, 999))
def test_gdpp_without_correction_is_gradient_descent(n, d, seed):
    x, y = prompts(2, n, d, seed)
    E = gdpp_step(tokens_pairs(x, y), 0.5, 0.0)
    assert torch.equal(E[..., :-1], x)
    w = step_by_hand(x, y, torch.zeros(2, d, dtype=torch.float64), 0.5)
    torch.testing.assert_close(-E[:, -1, -1], (w * x[:, -1]).sum(-1))


def test_gdpp_moves_eigenvalues_and_uses_the_old_inputs():
    x, y = prompts(2, 8, 3, 5)
    E, plain = gdpp_step(tokens_pairs(x, y), 0.5, 0.03), gdpp_step(tokens_pairs(x, y), 0.5, 0.0)
    torch.testing.assert_close(E[..., -1], plain[..., -1])  # the labels of this step do not feel γ
    before, after = (torch.linalg.eigvalsh(X.mT @ X) for X in (x[:, :-1], E[:, :-1, :-1]))
    torch.testing.assert_close(after, (before * (1 - 0.03 * before) ** 2).sort(-1).values)


def test_the_best_step_is_the_best_of_a_grid():
    x, y, _ = LinearRegressionSampler(d=3, n=6, uniform=2.0)(40_000, torch.Generator().manual_seed(6))
    one = gd_prefix(x, y, 1.0)[:, -1]
    measured = float((one * y[:, -1]).mean() / one.square().mean())
    assert abs(measured / eta_star(5, 3, 2.0) - 1) < 0.03
    assert abs(eta_star(10**9, 3, 2.0) - 3 / 4) < 1e-6


def test_the_sensitivity_of_a_gradient_step_is_its_weight_vector():
    x, y = prompts(3, 6, 4, 7)
    w = step_by_hand(x, y, torch.zeros(3, 4, dtype=torch.float64), 0.7)
    torch.testing.assert_close(sensitivity(lambda E: -gdpp_step(E, 0.7, 0.0)[:, -1, -1], tokens_pairs(x, y)), w)
