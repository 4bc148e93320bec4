"""Experts: slots, capacity, dispatch and combine against a loop over tokens."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minilib.moe import (
    Experts,
    MoE,
    StochasticExperts,
    assign_slots,
    balance_loss,
    combine,
    dispatch,
    symmetric_kl,
    topk_router,
)


def choices(T, k, E, seed=0):
    draw = torch.Generator().manual_seed(seed)
    return torch.stack([torch.randperm(E, generator=draw)[:k] for _ in range(T)])


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 20), st.integers(1, 5), st.integers(1, 2), st.integers(1, 8))
def test_slots_are_given_in_order_of_choice_rank_then_token(T, E, k, capacity):
    k = min(k, E)
    index = choices(T, k, E)
    slot, keep = assign_slots(index, E, capacity)
    taken = [0] * E
    for j in range(k):
        for t in range(T):
            e = int(index[t, j])
            assert bool(keep[t, j]) == (taken[e] < capacity)
            if keep[t, j]:
                assert int(slot[t, j]) == e * capacity + taken[e]
            taken[e] += 1
    assert slot[keep].unique().numel() == int(keep.sum())


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 12), st.integers(1, 4), st.integers(1, 2), st.integers(1, 12))
def test_dispatch_and_combine_equal_a_loop_over_tokens(T, E, k, capacity):
    k = min(k, E)
    torch.manual_seed(0)
    x, index, gate, experts = torch.randn(T, 6), choices(T, k, E), torch.rand(T, k), Experts(E, 6, 8)
    slot, keep = assign_slots(index, E, capacity)
    got = combine(experts(dispatch(x, slot, keep, E, capacity)), slot, keep, gate)
    for t in range(T):
        want = sum((gate[t, j] * keep[t, j] * experts.one(x[t], int(index[t, j])) for j in range(k)), torch.zeros(6))
        torch.testing.assert_close(got[t], want, atol=1e-5, rtol=1e-5)


def test_gates_sum_to_one_for_two_choices_and_keep_the_probability_for_one():
    logits = torch.randn(7, 4)
    p, gate, index = topk_router(logits, 2)
    torch.testing.assert_close(gate.sum(1), torch.ones(7))
    p, gate, index = topk_router(logits, 1)
    torch.testing.assert_close(gate[:, 0], p.max(1).values)
    with pytest.raises(ValueError, match="k must lie between 1 and the 4 experts"):
        topk_router(logits, 5)


def test_balance_loss_is_one_when_uniform_and_e_when_collapsed():
    E, T = 4, 40
    uniform = torch.full((T, E), 1 / E)
    assert float(balance_loss(uniform, torch.arange(T)[:, None] % E)) == pytest.approx(1)
    collapsed = torch.eye(E)[torch.zeros(T, dtype=torch.long)]
    assert float(balance_loss(collapsed, torch.zeros(T, 1, dtype=torch.long))) == pytest.approx(E)


def test_the_router_of_a_top_1_layer_gets_a_gradient_from_the_task():
    torch.manual_seed(0)
    layer = MoE(6, 8, 3, k=1, capacity_factor=3.0)
    layer(torch.randn(2, 5, 6)).pow(2).sum().backward()
    assert float(layer.gate.weight.grad.abs().sum()) > 0
    assert layer.last["load"].sum() == 10 and layer.last["dropped"] == 0


def test_one_expert_with_room_for_all_is_a_dense_layer():
    torch.manual_seed(0)
    layer, x = MoE(6, 8, 1, k=1), torch.randn(2, 5, 6)
    torch.testing.assert_close(layer(x), layer.experts.one(x, 0), atol=1e-5, rtol=1e-5)


def test_a_full_expert_drops_tokens_and_says_so():
    torch.manual_seed(0)
    layer = MoE(6, 8, 4, k=1, capacity_factor=0.5)
    x = torch.randn(1, 1, 6).expand(1, 8, 6)  # all tokens alike, so all choose one expert
    y = layer(x)
    assert layer.last["dropped"] == pytest.approx(7 / 8)
    assert bool((y[0, 1:] == 0).all()) and bool((y[0, 0] != 0).any())


def test_hash_routing_is_the_same_every_time_and_needs_token_ids():
    layer, x, tokens = MoE(6, 8, 3, router="hash", vocabulary=10, capacity_factor=3.0), torch.randn(1, 4, 6), torch.tensor([[1, 5, 5, 9]])
    layer(x, tokens)
    first = layer.last["index"].clone()
    layer(x, tokens)
    assert bool((first == layer.last["index"]).all()) and int(first[1]) == int(first[2])
    with pytest.raises(ValueError, match="needs the token ids"):
        layer(x)


@pytest.mark.parametrize("level", ["batch", "sentence", "token"])
def test_stochastic_experts_draw_at_their_level(level):
    torch.manual_seed(0)
    layer = StochasticExperts(6, 8, 4, level=level)
    x = torch.randn(3, 5, 6)
    layer.draw(torch.Generator().manual_seed(3))
    y = layer(x)
    used = torch.stack([(layer.experts.one(x, e) - y).abs().amax(-1) < 1e-5 for e in range(4)])
    assert bool(used.any(0).all()), "every token went through one of the experts"
    which = used.float().argmax(0)
    distinct = {"batch": which.unique().numel(), "sentence": max(row.unique().numel() for row in which), "token": 1}[level]
    assert distinct == 1
    layer.draw(torch.Generator().manual_seed(3))
    assert torch.equal(layer(x), y)


def test_symmetric_kl_is_symmetric_zero_at_equality_and_moves_both_sides():
    a, b = torch.randn(2, 3, 5, requires_grad=True), torch.randn(2, 3, 5, requires_grad=True)
    torch.testing.assert_close(symmetric_kl(a, b), symmetric_kl(b, a))
    assert float(symmetric_kl(a, a).detach()) == pytest.approx(0, abs=1e-7)
    symmetric_kl(a, b).backward()
    assert bool((a.grad != 0).any()) and bool((b.grad != 0).any())
