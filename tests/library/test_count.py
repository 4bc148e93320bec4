"""minilib.count: parameters once each, FLOPs as PyTorch counts them and as one counts by hand, bytes, medians in turns."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from minilib.count import bench, flops, nbytes, parameters


def test_a_shared_parameter_counts_once_and_a_frozen_one_only_if_asked():
    embed, head = nn.Embedding(10, 4), nn.Linear(4, 10, bias=True)
    head.weight = embed.weight
    model = nn.ModuleList([embed, head])
    assert parameters(model) == 50
    embed.weight.requires_grad_(False)
    assert parameters(model) == 50 and parameters(model, trainable=True) == 10


@pytest.mark.parametrize(("b", "m", "n"), [(1, 1, 1), (3, 5, 7)])
def test_a_product_costs_two_flops_a_multiply_add(b, m, n):
    assert flops(nn.Linear(m, n), torch.randn(b, m)) == 2 * b * m * n
    assert flops(lambda x: x @ x.mT, torch.randn(b, m, n)) == 2 * b * m * m * n
    assert flops(F.gelu, torch.randn(b, n)) == 0


def test_attention_costs_the_two_products_with_the_weights():
    b, h, t, k = 2, 3, 5, 4
    q = torch.randn(b, h, t, k)
    assert flops(F.scaled_dot_product_attention, q, q, q) == 2 * (2 * b * h * t * t * k)


def test_the_count_equals_torchs_own_for_a_whole_layer():
    layer, x = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True), torch.randn(2, 9, 16)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        layer(x)
    by_hand = 2 * (2 * 9) * (16 * 48 + 16 * 16 + 2 * 16 * 32) + 2 * 2 * (2 * 9 * 9 * 16)
    assert flops(layer, x) == counter.get_total_flops() == by_hand


def test_counting_leaves_no_gradients():
    x = torch.randn(2, 3, requires_grad=True)
    flops(lambda x: (x @ x.T).sum(), x)
    assert x.grad is None


def test_bytes_are_those_of_the_elements():
    assert nbytes(torch.zeros(3, 4), torch.zeros(5, dtype=torch.bfloat16), torch.zeros(0)) == 58


def test_bench_takes_turns_and_returns_medians():
    order = []
    times = bench(3, a=lambda: order.append("a"), b=lambda: order.append("b"))
    assert order == ["a", "b"] * 4 and set(times) == {"a", "b"} and all(t >= 0 for t in times.values())


def test_bench_tells_a_slow_call_from_a_fast_one():
    x = torch.randn(300, 300)
    times = bench(5, once=lambda: x @ x, many=lambda: [x @ x for _ in range(20)])
    assert times["many"] > 5 * times["once"]
