"""ProbSparse attention is attention where it looks and a mean where it does not; distilling halves; the shell takes both."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minilib.attention import attention
from minilib.forecasting import InformerShell, InvertedEncoder, SelfAttention
from minilib.informer import Distil, prob_sparse_attention, sample_table, sparsity

few = settings(max_examples=15, deadline=None)


def qkv(Q: int, S: int, seed: int = 0, K: int = 4, V: int = 4):
    draw = torch.Generator().manual_seed(seed)
    return [torch.randn(2, 3, length, width, generator=draw, dtype=torch.float64) for length, width in ((Q, K), (S, K), (S, V))]


@few
@given(Q=st.integers(1, 12), S=st.integers(1, 12), seed=st.integers(0, 99))
def test_lemma_1_bounds_the_divergence_from_uniform(Q, S, seed):
    q, k, _ = qkv(Q, S, seed)
    scores = q @ k.transpose(-1, -2) / 2
    M = scores.logsumexp(-1) - scores.mean(-1)
    log = torch.tensor(S, dtype=torch.float64).log()
    uniform = torch.full_like(scores, 1 / S)
    assert torch.allclose((uniform * (uniform.log() - scores.log_softmax(-1))).sum(-1), M - log)
    slack_below, slack_above = M - log, sparsity(q, k) + log - M
    assert slack_below.min() > -1e-9 and slack_above.min() > -1e-9


@few
@given(Q=st.integers(1, 9), S=st.integers(1, 30), c=st.integers(1, 4), seed=st.integers(0, 99))
def test_sampled_sparsity_is_the_same_however_it_is_computed(Q, S, c, seed):
    q, k, _ = qkv(Q, S, seed)
    table = sample_table(Q, S, c, torch.Generator().manual_seed(seed))
    assert table.shape[0] == Q and 1 <= table.shape[1] <= S and int(table.max()) < S
    assert torch.allclose(sparsity(q, k, table, dense_scores=True), sparsity(q, k, table, dense_scores=False))


def test_a_table_of_all_keys_measures_exactly():
    q, k, _ = qkv(5, 7)
    table = torch.stack([torch.randperm(7) for _ in range(5)])
    assert torch.allclose(sparsity(q, k, table), sparsity(q, k))


@few
@given(Q=st.integers(1, 9), S=st.integers(1, 12), causal=st.booleans())
def test_with_every_query_chosen_it_is_attention(Q, S, causal):
    q, k, v = qkv(Q, Q if causal else S, V=3)
    assert torch.allclose(prob_sparse_attention(q, k, v, 99, causal=causal), attention(q, k, v, causal=causal))


@pytest.mark.parametrize("causal", [False, True])
def test_unchosen_queries_get_the_mean_of_what_they_may_see(causal):
    q, k, v = qkv(40, 40, V=5)
    keep: list[torch.Tensor] = []
    out = prob_sparse_attention(q, k, v, 1, causal=causal, generator=torch.Generator().manual_seed(1), keep=keep)
    assert torch.allclose(keep[0] @ v, out) and torch.allclose(keep[0].sum(-1), torch.ones_like(out[..., 0]))
    mean = v.cumsum(-2) / torch.arange(1, 41, dtype=v.dtype)[:, None] if causal else v.mean(-2, keepdim=True)
    lazy = torch.isclose(out, mean).all(-1)
    assert (lazy.sum(-1) >= 40 - 4).all() and not lazy.all()  # u = ⌈ln 40⌉ = 4; the first causal row is its own mean
    assert torch.allclose(out[~lazy], attention(q, k, v, causal=causal)[~lazy])
    assert not causal or not keep[0].triu(1).any()


def test_the_choice_is_reproducible_and_carries_no_gradient():
    q, k, v = (t.requires_grad_() for t in qkv(50, 50))
    first, again = (prob_sparse_attention(q, k, v, 1, generator=torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, again)
    other = prob_sparse_attention(q, k, v, 1, generator=torch.Generator().manual_seed(3), dense_scores=False)
    (first - other).abs().sum().backward()
    assert torch.allclose(first, other) and not q.grad.isnan().any()


def test_causal_wants_as_many_keys_as_queries():
    with pytest.raises(ValueError, match="3 queries cannot see 5 keys"):
        prob_sparse_attention(*qkv(3, 5), causal=True)


@pytest.mark.parametrize("length", [1, 2, 7, 168])
def test_distilling_halves(length):
    assert Distil(6)(torch.randn(2, length, 6)).shape == (2, (length - 1) // 2 + 1, 6)


def test_encoder_distils_between_layers_only():
    torch.manual_seed(0)
    encoder, plain = InvertedEncoder(lambda: SelfAttention(8, 2), 8, 16, 3, distil=True), InvertedEncoder(None, 8, 16, 3)
    assert encoder(torch.randn(2, 20, 8)).shape == (2, 5, 8) and plain(torch.randn(2, 20, 8)).shape == (2, 20, 8)
    assert len(encoder.distil) == 2 and not list(plain.distil.parameters())


def test_informer_forecasts_and_learns():
    torch.manual_seed(0)
    model = InformerShell(3, 24, 5, 4, 16, 2, 24, 2, 1, attn="prob", distil=True)
    x, marks = torch.randn(2, 24, 3), torch.randn(2, 29, 2)
    out = model(x, marks)
    out.square().sum().backward()
    assert out.shape == (2, 5, 3) and all(p.grad is not None for p in model.parameters())
