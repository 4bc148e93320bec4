"""Two scans that meet: everybody hears everybody, order still counts, and the mirror image is the mirrored model's."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from minilib.count import parameters
from minilib.ssm import BiMamba, Mamba

few = settings(max_examples=15, deadline=None)


def make(d_model: int = 6, d_state: int = 3, seed: int = 0, **block) -> BiMamba:
    torch.manual_seed(seed)
    return BiMamba(d_model, d_state, **block).double()


def tokens(B: int, N: int, M: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(B, N, M, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def influence(f: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """‖∂y_i/∂x_j‖ of one sequence (N, M) → (N, N)."""
    jacobian = torch.autograd.functional.jacobian(lambda v: f(v[None])[0], x)
    return jacobian.square().sum((1, 3)).sqrt()


@few
@given(st.integers(1, 3), st.integers(1, 9), st.integers(1, 3), st.integers(1, 2), st.integers(0, 99))
def test_it_is_one_scan_from_either_end(B, N, d_conv, expand, seed):
    model, x = make(seed=seed, d_conv=d_conv, expand=expand), tokens(B, N, 6, seed)
    backwards = torch.stack([model.backward_block(x[:, torch.arange(N - 1, -1, -1)])[:, N - 1 - i] for i in range(N)], dim=1)
    torch.testing.assert_close(model(x), model.forward_block(x) + backwards, atol=1e-12, rtol=0)


def test_each_half_is_triangular_and_the_sum_is_full():
    model, x = make(), tokens(1, 5, 6)[0]
    from_left = influence(model.forward_block, x)
    from_right = influence(lambda v: model.backward_block(v.flip(1)).flip(1), x)
    assert torch.equal(from_left, from_left.tril()) and torch.equal(from_right, from_right.triu())
    assert bool((influence(model, x) > 0).all())


def test_without_memory_only_neighbours_are_heard():
    model, x = make(d_conv=2), tokens(1, 6, 6)[0]
    with torch.no_grad():
        for block in (model.forward_block, model.backward_block):
            block.A_log.fill_(20.0)  # exp(ΔA) = 0
    near = (torch.arange(6)[:, None] - torch.arange(6)).abs() <= 1
    assert torch.equal(influence(model, x) > 0, near)


@few
@given(st.integers(1, 8), st.integers(0, 99))
def test_the_mirrored_model_gives_the_mirror_image(N, seed):
    model, x = make(seed=seed), tokens(2, N, 6, seed)
    mirrored = copy.deepcopy(model)
    mirrored.forward_block, mirrored.backward_block = mirrored.backward_block, mirrored.forward_block
    torch.testing.assert_close(mirrored(x.flip(1)), model(x).flip(1), atol=1e-12, rtol=0)


def test_order_counts():
    model, x = make(), tokens(1, 7, 6)
    order = torch.tensor([3, 0, 6, 1, 5, 2, 4])
    assert (model(x[:, order]) - model(x)[:, order]).abs().max() > 1e-3


def test_the_blocks_do_not_share_weights():
    model = make()
    assert parameters(model) == 2 * parameters(model.forward_block)
    assert not torch.equal(model.forward_block.in_proj.weight, model.backward_block.in_proj.weight)


def test_parameters_of_the_paper_s_shape():
    D, n, R = 64, 4, 4
    assert parameters(Mamba(D, n, 2, 1)) == 3 * D * D + 3 * D + D * (R + 2 * n) + R * D + D + D * n + D == 13_888


def test_further_arguments_reach_both_blocks():
    model = make(discretize="zoh", method="chunked")
    assert {(b.discretize, b.method) for b in (model.forward_block, model.backward_block)} == {("zoh", "chunked")}
    with pytest.raises(ValueError, match="select may name"):
        BiMamba(4, 2, select=("A",))


def test_gradients_are_those_of_finite_differences():
    model, x = make(3, 2), tokens(2, 4, 3).requires_grad_()
    assert torch.autograd.gradcheck(model, (x,))
