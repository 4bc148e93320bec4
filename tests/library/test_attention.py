"""minilib.attention and the parts of minilib.layers that it rests on: definitions, identities, PyTorch's own operators."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from minilib.attention import (
    KVCache,
    MultiHeadAttention,
    attention,
    attention_weights,
    rotate,
    tree_visibility,
    visibility,
    window_visibility,
)
from minilib.layers import MLP, GatedMLP, RMSNorm, T5Bias, mlp, sinusoids, t5_bucket

few = settings(max_examples=25, deadline=None)
small = st.integers(1, 5)


def randn(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# ---------------------------------------------------------------------------------------------------------------- who sees whom


@few
@given(T=st.integers(1, 9), data=st.data())
def test_the_prefix_sees_itself_and_the_rest_what_came_before(T, data):
    P = data.draw(st.integers(0, T))
    want = torch.tensor([[j <= i or (i < P and j < P) for j in range(T)] for i in range(T)])
    assert torch.equal(visibility(T, P), want)


def test_visibility_has_three_named_limits_and_refuses_the_rest():
    assert torch.equal(visibility(5, 0), visibility(5, 1))
    assert torch.equal(visibility(5), torch.ones(5, 5).tril().bool())
    assert visibility(5, 5).all()
    for P in (-1, 6):
        with pytest.raises(ValueError, match="between 0 and T = 5"):
            visibility(5, P)


@few
@given(T=st.integers(1, 9), P=st.integers(0, 9))
def test_visibility_is_transitive_so_depth_opens_nothing(T, P):
    M = visibility(T, min(P, T))
    assert torch.equal((M.float() @ M.float()) > 0, M)


@few
@given(T=st.integers(1, 9), window=st.integers(1, 12))
def test_a_window_reaches_back_and_not_ahead(T, window):
    M = window_visibility(T, window)
    assert torch.equal(M, torch.tensor([[0 <= i - j < window for j in range(T)] for i in range(T)]))
    if window >= T:
        assert torch.equal(M, visibility(T))


def test_a_window_holds_at_least_the_position_itself():
    with pytest.raises(ValueError, match="at least the position itself"):
        window_visibility(4, 0)


@few
@given(data=st.data())
def test_a_node_of_a_tree_sees_its_ancestors_alone(data):
    n = data.draw(st.integers(1, 8))
    parents = [data.draw(st.integers(-1, i - 1)) for i in range(n)]
    M = tree_visibility(parents)
    for i in range(n):
        path, node = {i}, parents[i]
        while node >= 0:
            path.add(node)
            node = parents[node]
        assert set(M[i].nonzero()[:, 0].tolist()) == path


def test_a_chain_is_causal_and_a_later_parent_is_refused():
    assert torch.equal(tree_visibility([-1, 0, 1, 2]), visibility(4))
    with pytest.raises(ValueError, match="earlier node"):
        tree_visibility([-1, 2, 0])


# ------------------------------------------------------------------------------------------------------------------ attention


@few
@given(B=small, H=small, Q=small, S=small, K=small, W=small, seed=st.integers(0, 99))
def test_attention_is_its_definition_number_by_number(B, H, Q, S, K, W, seed):
    q, k, v, bias = randn(seed, B, H, Q, K), randn(seed + 1, B, H, S, K), randn(seed + 2, B, H, S, W), randn(seed + 3, H, Q, S)
    mask = randn(seed + 4, Q, S) > -0.5
    got = attention(q, k, v, mask, bias)
    for b in range(B):
        for h in range(H):
            for i in range(Q):
                match = [math.exp(q[b, h, i] @ k[b, h, j] / K**0.5 + bias[h, i, j]) if mask[i, j] else 0.0 for j in range(S)]
                want = sum(m * v[b, h, j] for j, m in enumerate(match)) / sum(match) if sum(match) else torch.zeros(W, dtype=q.dtype)
                torch.testing.assert_close(got[b, h, i], want)


@few
@given(T=st.integers(1, 7), P=st.integers(0, 7), seed=st.integers(0, 99))
def test_written_out_and_fused_agree_with_each_other_and_with_pytorch(T, P, seed):
    q, k, v = randn(seed, 3, 2, 2, T, 4)
    mask = visibility(T, min(P, T))
    keep: list[torch.Tensor] = []
    torch.testing.assert_close(attention(q, k, v, mask, keep=keep), attention(q, k, v, mask))
    torch.testing.assert_close(attention(q, k, v, mask), F.scaled_dot_product_attention(q, k, v, mask))
    torch.testing.assert_close(keep[0].sum(-1), torch.ones(2, 2, T, dtype=q.dtype))
    torch.testing.assert_close(attention(q, k, v, causal=True), attention(q, k, v, visibility(T)))


@few
@given(groups=st.integers(1, 3), shared=st.integers(1, 3), seed=st.integers(0, 99))
def test_grouped_queries_equal_repeated_heads(groups, shared, seed):
    q, k, v = randn(seed, 2, groups * shared, 4, 3), randn(seed + 1, 2, groups, 5, 3), randn(seed + 2, 2, groups, 5, 3)
    by_hand = [attention(q[:, h], k[:, h // shared], v[:, h // shared]) for h in range(groups * shared)]
    torch.testing.assert_close(attention(q, k, v), torch.stack(by_hand, dim=1))
    torch.testing.assert_close(attention(q, k, v, keep=[]), torch.stack(by_hand, dim=1))


def test_heads_that_cannot_be_shared_are_refused():
    with pytest.raises(ValueError, match="2 does not divide 3"):
        attention(randn(0, 1, 3, 4, 2), randn(0, 1, 2, 4, 2), randn(0, 1, 2, 4, 2))


def test_a_query_that_sees_nothing_gets_zeros_and_finite_gradients():
    q, k, v = (x.requires_grad_() for x in randn(0, 3, 1, 2, 4, 3).unbind())
    mask = visibility(4)
    mask[2] = False
    for keep in (None, []):
        out = attention(q, k, v, mask, keep=keep)
        assert torch.equal(out[:, :, 2], torch.zeros_like(out[:, :, 2]))
        for gradient in torch.autograd.grad(out.sum(), (q, k, v)):
            assert gradient.isfinite().all()


def test_what_is_hidden_has_no_gradient_at_all():
    q, k, v = (x.requires_grad_() for x in randn(1, 3, 1, 1, 5, 3).unbind())
    attention(q, k, v, visibility(5))[:, :, :3].sum().backward()
    assert torch.equal(k.grad[:, :, 3:], torch.zeros(1, 1, 2, 3, dtype=k.dtype))
    assert torch.equal(v.grad[:, :, 3:], torch.zeros(1, 1, 2, 3, dtype=k.dtype))


@few
@given(S=st.integers(1, 6), seed=st.integers(0, 99))
def test_the_order_of_the_keys_does_not_matter_and_equal_keys_give_the_mean(S, seed):
    q, k, v = randn(seed, 2, 3), randn(seed + 1, S, 3), randn(seed + 2, S, 3)
    order = torch.randperm(S, generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(attention(q[None], k[order][None], v[order][None]), attention(q[None], k[None], v[None]))
    torch.testing.assert_close(attention(q[None], k[:1].expand(1, S, 3), v[None])[0], v.mean(0).expand(2, 3))


def test_weights_over_one_key_are_one():
    assert torch.equal(attention_weights(randn(0, 1, 4, 3), randn(1, 1, 1, 3)), torch.ones(1, 4, 1, dtype=torch.float64))


# ------------------------------------------------------------------------------------------------------------------- positions


@few
@given(T=st.integers(1, 6), half=st.integers(1, 4), shift=st.integers(-50, 50), seed=st.integers(0, 99))
def test_rotated_scores_depend_on_the_distance_alone(T, half, shift, seed):
    x, y, at = randn(seed, 1, T, 2 * half), randn(seed + 1, 1, T, 2 * half), torch.arange(T)
    here, there = rotate(x, at) @ rotate(y, at).mT, rotate(x, at + shift) @ rotate(y, at + shift).mT
    torch.testing.assert_close(here, there, atol=1e-4, rtol=1e-4)  # angles are computed in single precision
    torch.testing.assert_close(rotate(x, at).norm(dim=-1), x.norm(dim=-1), atol=1e-5, rtol=1e-5)


def test_position_zero_is_not_turned_and_the_first_pair_turns_by_one_radian():
    x = torch.tensor([[[1.0, 0.0, 0.0, 0.0]]])
    assert torch.equal(rotate(x, torch.tensor([0])), x)
    torch.testing.assert_close(rotate(x, torch.tensor([1])), torch.tensor([[[math.cos(1), 0.0, math.sin(1), 0.0]]]))


def scalar_bucket(r: int, bidirectional: bool, buckets: int = 32, furthest: int = 128) -> int:
    """T5's bucket, one distance at a time."""
    offset = 0
    if bidirectional:
        buckets //= 2
        offset, n = (buckets if r > 0 else 0), abs(r)
    else:
        n = max(-r, 0)
    exact = buckets // 2
    if n < exact:
        return offset + n
    return offset + min(buckets - 1, exact + math.floor(math.log(n / exact) / math.log(furthest / exact) * (buckets - exact) + 1e-6))


@pytest.mark.parametrize("bidirectional", [True, False])
def test_buckets_equal_the_scalar_reference(bidirectional):
    distances = torch.arange(-300, 301)
    want = torch.tensor([scalar_bucket(int(r), bidirectional) for r in distances])
    got = t5_bucket(distances, bidirectional=bidirectional)
    # at exact powers the logarithm may fall on either side of a whole number: one bucket of difference at most, and rarely
    assert (got - want).abs().max() <= 1
    assert (got != want).float().mean() < 0.02
    assert int(got.max()) == 31 and int(got.min()) == 0


def test_the_bias_depends_on_the_distance_alone():
    bias, at = T5Bias(3), torch.arange(9)
    torch.testing.assert_close(bias(at, at), bias(at + 40, at + 40))
    torch.testing.assert_close(bias(at, at)[:, 1:, 1:], bias(at, at)[:, :-1, :-1])


def test_sines_and_cosines_alternate():
    table = sinusoids(6, 8)
    for t in range(6):
        for c in range(4):
            angle = t / 10_000 ** (2 * c / 8)
            assert table[t, 2 * c : 2 * c + 2].tolist() == pytest.approx([math.sin(angle), math.cos(angle)], abs=1e-6)
    assert sinusoids(3, 5).shape == (3, 5)


# ------------------------------------------------------------------------------------------------------------------ multi-head


@few
@given(heads=st.integers(1, 3), T=st.integers(1, 5), seed=st.integers(0, 20))
def test_multi_head_attention_equals_pytorchs(heads, T, seed):
    torch.manual_seed(seed)
    d = 4 * heads
    ours, theirs, x = MultiHeadAttention(d, heads), nn.MultiheadAttention(d, heads, bias=False, batch_first=True), torch.randn(2, T, d)
    theirs.in_proj_weight.data, theirs.out_proj.weight.data = torch.cat([ours.q.weight, ours.kv.weight]).data, ours.out.weight.data
    torch.testing.assert_close(ours(x, mask=visibility(T)), theirs(x, x, x, attn_mask=~visibility(T))[0])
    memory = torch.randn(2, 3, d)
    torch.testing.assert_close(ours(x, memory), theirs(x, memory, memory)[0])


def test_grouped_heads_save_parameters_and_a_memory_of_one_hands_over_its_value():
    torch.manual_seed(0)
    layer = MultiHeadAttention(12, 6, kv_heads=2)
    assert sum(p.numel() for p in layer.parameters()) == 12 * 12 * 2 + 2 * 12 * (2 * 2)
    layer, memory = MultiHeadAttention(12, 3), torch.randn(2, 1, 12)
    torch.testing.assert_close(layer(torch.randn(2, 4, 12), memory), layer.out(layer.kv(memory)[..., 12:]).expand(2, 4, 12))


def test_a_width_that_does_not_split_into_heads_is_refused():
    with pytest.raises(ValueError, match="not a multiple of 3 heads"):
        MultiHeadAttention(8, 3)


# ----------------------------------------------------------------------------------------------------------------------- cache


@few
@given(cuts=st.lists(st.integers(1, 3), min_size=1, max_size=4), rotary=st.booleans())
def test_a_layer_read_in_pieces_gives_what_it_gives_at_once(cuts, rotary):
    torch.manual_seed(0)
    layer, T = MultiHeadAttention(8, 4, kv_heads=2, rotary=rotary), sum(cuts)
    x, cache, at, parts = torch.randn(2, T, 8), KVCache(), 0, []
    for n in cuts:
        mask, positions = visibility(at + n)[at:], torch.arange(at, at + n)
        parts.append(layer(x[:, at : at + n], mask=mask, positions=positions, cache=cache))
        at += n
        assert cache.length == at
    torch.testing.assert_close(torch.cat(parts, dim=1), layer(x, mask=visibility(T)), atol=1e-5, rtol=1e-5)
    assert cache.nbytes() == 2 * 2 * 2 * T * 2 * 4  # keys and values, B, G, T, K, four bytes


def test_a_cache_keeps_the_rows_it_is_told_to():
    cache, k = KVCache(), torch.arange(10.0).view(1, 1, 5, 2)
    assert cache.length == 0
    cache.extend(0, k, -k)
    cache.keep_rows(torch.tensor([3, 0]))
    assert torch.equal(cache.layers[0][0], k[:, :, [3, 0]]) and torch.equal(cache.layers[0][1], -k[:, :, [3, 0]])


def test_cross_attention_computes_the_keys_of_its_memory_once():
    layer, cache = MultiHeadAttention(8, 2), KVCache()
    x, memory = torch.randn(1, 3, 8), torch.randn(1, 4, 8)
    first = layer(x, memory, cache=cache)
    assert cache.length == 4
    torch.testing.assert_close(layer(x, torch.full_like(memory, float("nan")), cache=cache), first)
    assert cache.length == 4


# ---------------------------------------------------------------------------------------------------------------- norm and MLP


@few
@given(scale=st.floats(0.1, 100), seed=st.integers(0, 99))
def test_rms_norm_does_not_see_the_scale(scale, seed):
    torch.manual_seed(seed)
    norm, x = RMSNorm(6), torch.randn(3, 6)
    norm.g.data.normal_()
    torch.testing.assert_close(norm(scale * x), norm(x), atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(norm(x), norm.g * x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt())


@pytest.mark.parametrize(("kind", "activation"), [("gelu", F.gelu), ("relu", F.relu)])
def test_a_plain_mlp_by_its_name(kind, activation):
    layer, x = mlp(kind, 4, 6), torch.randn(3, 4)
    assert isinstance(layer, MLP)
    torch.testing.assert_close(layer(x), activation(x @ layer.up.weight.T) @ layer.down.weight.T)


@pytest.mark.parametrize(("kind", "activation"), [("geglu", lambda x: F.gelu(x, approximate="tanh")), ("swiglu", F.silu)])
def test_a_gated_mlp_by_its_name(kind, activation):
    layer, x = mlp(kind, 4, 6), torch.randn(3, 4)
    assert isinstance(layer, GatedMLP)
    gate, value = layer.up.weight[:6], layer.up.weight[6:]
    torch.testing.assert_close(layer(x), (activation(x @ gate.T) * (x @ value.T)) @ layer.down.weight.T)


def test_an_unknown_mlp_is_refused_with_the_names_there_are():
    with pytest.raises(ValueError, match="geglu, swiglu, gelu, relu"):
        mlp("tanh", 4, 6)
