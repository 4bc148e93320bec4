"""Every function of the ASIC is as exact as its format needs, and costs no more operations than it is charged."""

from math import factorial

import pytest
import torch
from torch.nn import functional as F

from minilib.pim import Asic, asic_math
from minilib.pim.asic import GELU, LAYER_NORM, SOFTMAX, operations


def relative(got, want):
    return float(((got - want) / want).abs().max())


@pytest.mark.parametrize(("degree", "bound"), [(2, 9.1e-3), (3, 8e-4), (4, 5.6e-5), (6, 8e-7)])
def test_exp_after_range_reduction(degree, bound):
    x = torch.linspace(-12, 12, 40_001)
    assert relative(asic_math.exp(x, degree), x.double().exp()) < bound


def test_exp_at_its_ends():
    far = torch.linspace(-80, 80, 40_001)
    assert relative(asic_math.exp(far), far.double().exp()) < 1e-3
    x = torch.tensor([float("-inf"), -1e4, -88.0, 0.0, 1e4])
    got = asic_math.exp(x)
    assert got[:3].tolist() == [0, 0, 0] and got[3] == 1 and torch.isfinite(got[4])


def test_a_taylor_series_without_range_reduction_is_useless():
    x = torch.linspace(-12, 0, 1000).double()
    raw = sum(x**i / factorial(i) for i in range(7))
    assert (raw - x.exp()).abs().max() > 1e3


@pytest.mark.parametrize(("steps", "bound"), [(0, 6e-2), (1, 3.6e-3), (2, 1.3e-5), (3, 2e-7)])
def test_newtons_reciprocal(steps, bound):
    x = torch.cat([torch.logspace(-20, 20, 20_001), -torch.logspace(-3, 3, 999)])
    assert relative(asic_math.reciprocal(x, steps), 1 / x.double()) < bound


@pytest.mark.parametrize(("steps", "bound"), [(0, 3.5e-2), (1, 1.8e-3), (2, 5e-6)])
def test_inverse_square_root(steps, bound):
    x = torch.logspace(-20, 20, 40_001)
    assert relative(asic_math.rsqrt(x, steps), x.double().rsqrt()) < bound


def test_softmax_rows_sum_to_one_and_masked_entries_vanish():
    torch.manual_seed(0)
    scores = 2 * torch.randn(5, 64)
    scores[:, 40:] = float("-inf")
    got = asic_math.softmax(scores, 0.7)
    assert (got.sum(-1) - 1).abs().max() < 2**-7 and (got[:, 40:] == 0).all()
    assert (got - (0.7 * scores).softmax(-1)).abs().sum(-1).max() / 2 < 5e-4  # total variation


def test_layer_norm_and_gelu():
    torch.manual_seed(0)
    x, g, b = 3 * torch.randn(4, 96) + 2, torch.randn(96), torch.randn(96)
    plain = asic_math.layer_norm(x, torch.ones(96), torch.zeros(96))
    assert plain.mean(-1).abs().max() < 1e-2 and (plain.var(-1, unbiased=False) - 1).abs().max() < 1e-2
    assert torch.allclose(asic_math.layer_norm(x, g, b), F.layer_norm(x, (96,), g, b), atol=1e-4)
    z = torch.linspace(-60, 60, 10_001)
    assert (asic_math.gelu(z) - F.gelu(z, approximate="tanh")).abs().max() < 1e-3


def test_operations_stay_within_what_the_timing_charges():
    n, g = 4096, torch.ones(4096)
    x = torch.randn(1, n)
    for name, call, charged in (
        ("softmax", lambda: asic_math.softmax(x, 0.5), SOFTMAX),
        ("gelu", lambda: asic_math.gelu(x), GELU),
        ("layer norm", lambda: asic_math.layer_norm(x, g, g), LAYER_NORM),
    ):
        done = operations(call)
        assert done["multiply"] <= charged * n + 20, name
        assert done["multiply"] >= (charged - 2) * n, name  # and the charge is not far above
        assert done["add"] <= 2 * charged * n, name  # twice as many adders


def test_cycles_round_up_after_dividing_by_the_clock():
    asic = Asic(ghz=0.3)
    assert asic.cycles(1.0, multiply=128) == 4  # 1 cycle of the ASIC is 3.33 ns
    assert asic.cycles(0.5, multiply=128) == 7
    assert Asic().cycles(1.0, add=128) == 1 and Asic().pipeline(1.0) == 40 and Asic(ghz=0.1).pipeline(1.0) == 400
