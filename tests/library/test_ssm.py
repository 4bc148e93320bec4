"""The selective scan in all its forms, the Mamba block in its three, and the synthetic tasks."""

import importlib.util
import inspect

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck
from torch.nn import functional as F

from minilib.data.synthetic import induction_heads, selective_copying
from minilib.kernels.selective_scan import DISCRETIZE
from minilib.ssm import SELECTIVE, Mamba, MambaLM, s4d_lti, selective_scan, selective_scan_step

METHODS = ("sequential", "associative", "chunked")  # Triton's form, float32 only, has a test of its own
TRITON = importlib.util.find_spec("triton") is not None
few = settings(max_examples=20, deadline=None)
sizes = st.tuples(st.integers(1, 3), st.integers(1, 40), st.integers(1, 5), st.integers(1, 4))


def inputs(b=2, l=13, d=3, n=4, *, dtype=torch.float64, seed=0):
    """u, delta, A, B, C, D, h0 at random."""
    g = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(*shape, generator=g, dtype=torch.float64).to(dtype)  # noqa: E731
    return [draw(b, l, d), F.softplus(draw(b, l, d)), -draw(d, n).abs() - 0.1, draw(b, l, n), draw(b, l, n), draw(d), draw(b, d, n)]


def by_definition(u, delta, A, B, C, D, h, discretize):
    """The recurrence with every index written out."""
    y = torch.zeros_like(u)
    h = h.clone()
    for b in range(u.shape[0]):
        for t in range(u.shape[1]):
            for d in range(u.shape[2]):
                a = torch.exp(delta[b, t, d] * A[d])
                weight = delta[b, t, d] if discretize == "euler" else (a - 1) / A[d]
                h[b, d] = a * h[b, d] + weight * B[b, t] * u[b, t, d]
                y[b, t, d] = (C[b, t] * h[b, d]).sum() + D[d] * u[b, t, d]
    return y, h


def close(got, want, atol):
    torch.testing.assert_close(got, want, atol=atol, rtol=0)


# ------------------------------------------------------------------------------------------------------------------------------ scan


@pytest.mark.parametrize("discretize", DISCRETIZE)
@pytest.mark.parametrize("method", METHODS)
def test_every_form_is_the_definition(method, discretize):
    values = inputs(l=7)
    got = selective_scan(*values, method=method, chunk=3, discretize=discretize, return_state=True)
    for mine, want in zip(got, by_definition(*values, discretize), strict=True):
        close(mine, want, 1e-10)


@few
@given(sizes, st.integers(1, 50), st.sampled_from(DISCRETIZE), st.integers(0, 1000))
def test_forms_agree_in_both_precisions_forward_and_backward(shape, chunk, discretize, seed):
    for dtype, atol in ((torch.float64, 1e-10), (torch.float32, 1e-5)):
        results = {}
        for method in METHODS:
            values = [v.requires_grad_() for v in inputs(*shape, dtype=dtype, seed=seed)]
            y, h = selective_scan(*values, method=method, chunk=chunk, discretize=discretize, return_state=True)
            gradients = torch.autograd.grad(y.sum() + h.square().sum(), values)
            results[method] = [y.detach(), h.detach(), *gradients]
        for method in METHODS[1:]:
            for mine, want in zip(results[method], results["sequential"], strict=True):
                scale = max(1.0, float(want.abs().max()))
                close(mine / scale, want / scale, atol)


@pytest.mark.skipif(not TRITON, reason="Triton is not installed")
@pytest.mark.parametrize("discretize", DISCRETIZE)
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 19, 5, 3)])
def test_fused_kernel_agrees_forward_and_backward(shape, discretize):
    results = {}
    for method in ("sequential", "triton"):
        values = [v.requires_grad_() for v in inputs(*shape, dtype=torch.float32)]
        y, h = selective_scan(*values, method=method, discretize=discretize, return_state=True)
        results[method] = [y.detach(), h.detach(), *torch.autograd.grad(y.sum() + h.square().sum(), values)]
    for mine, want in zip(results["triton"], results["sequential"], strict=True):
        torch.testing.assert_close(mine, want, atol=1e-5, rtol=1e-5)


@few
@given(sizes, st.data(), st.sampled_from(METHODS))
def test_two_parts_with_the_state_handed_over_are_the_whole(shape, data, method):
    u, delta, A, B, C, D, h0 = inputs(*shape)
    whole, end = selective_scan(u, delta, A, B, C, D, h0, method=method, return_state=True)
    if shape[1] == 1:
        return
    cut = data.draw(st.integers(1, shape[1] - 1))
    first, h = selective_scan(u[:, :cut], delta[:, :cut], A, B[:, :cut], C[:, :cut], D, h0, method=method, return_state=True)
    second, h = selective_scan(u[:, cut:], delta[:, cut:], A, B[:, cut:], C[:, cut:], D, h, method=method, return_state=True)
    close(torch.cat([first, second], dim=1), whole, 1e-10)
    close(h, end, 1e-10)


@pytest.mark.parametrize("discretize", DISCRETIZE)
@pytest.mark.parametrize("method", METHODS)
def test_all_seven_gradients_are_the_numerical_ones(method, discretize):
    values = [v.requires_grad_() for v in inputs(2, 5, 2, 3)]
    assert gradcheck(lambda *v: selective_scan(*v, method=method, chunk=2, discretize=discretize, return_state=True), values)


@pytest.mark.parametrize("method", METHODS)
def test_the_future_does_not_change_the_past(method):
    values = inputs()
    changed = [v.clone() for v in values]
    for i in (0, 1, 3, 4):
        changed[i][:, 8:] += 1
    assert torch.equal(selective_scan(*values, method=method)[:, :8], selective_scan(*changed, method=method)[:, :8])


@pytest.mark.parametrize("discretize", DISCRETIZE)
def test_steps_are_the_scan_and_leave_the_state_alone(discretize):
    u, delta, A, B, C, D, h0 = inputs()
    want, end = selective_scan(u, delta, A, B, C, D, h0, discretize=discretize, return_state=True)
    h, kept = h0, h0.clone()
    for t in range(u.shape[1]):
        y, h = selective_scan_step(u[:, t], delta[:, t], A, B[:, t], C[:, t], D, h, discretize=discretize)
        close(y, want[:, t], 1e-10)
    close(h, end, 1e-10)
    assert torch.equal(h0, kept)


def test_bfloat16_inputs_are_computed_in_float32():
    values = inputs(dtype=torch.bfloat16)
    y, h = selective_scan(*values, return_state=True)
    assert y.dtype == torch.bfloat16 and h.dtype == torch.float32
    close(y, selective_scan(*(v.float() for v in values)).bfloat16(), 0)


def test_skip_and_initial_state_may_be_left_out():
    u, delta, A, B, C, D, h0 = inputs()
    close(selective_scan(u, delta, A, B, C), selective_scan(u, delta, A, B, C, 0 * D, 0 * h0), 0)


def test_strong_decay_over_a_long_sequence_stays_finite():
    u, delta, A, B, C, D, h0 = inputs(1, 500, 2, 2, dtype=torch.float32)
    want = selective_scan(u, 50 * delta, A, B, C, D, h0)
    assert want.isfinite().all()
    close(selective_scan(u, 50 * delta, A, B, C, D, h0, method="chunked", chunk=64) / 50, want / 50, 1e-4)


@pytest.mark.parametrize("place, name", enumerate(["u", "delta", "A", "B", "C", "D", "h0"]))
def test_a_wrong_shape_is_named_with_both_shapes(place, name):
    values = inputs()
    values[place] = {"u": torch.ones(2, 13), "A": torch.ones(5, 4)}.get(name, torch.ones(*values[place].shape[:-1], 9))
    with pytest.raises(ValueError, match=f"^{name} must have shape") as caught:
        inspect.unwrap(selective_scan)(*values)  # without the run-time check of annotations, which would speak first
    assert str(caught.value).endswith(f"got {tuple(values[place].shape)}")
    with pytest.raises(ValueError, match=r"h must have shape \(2, 3, 4\), got \(2, 3, 9\)"):
        u, delta, A, B, C, D, _ = inputs()
        inspect.unwrap(selective_scan_step)(u[:, 0], delta[:, 0], A, B[:, 0], C[:, 0], D, torch.ones(2, 3, 9))


@pytest.mark.parametrize("option", [{"method": "fft"}, {"discretize": "tustin"}, {"chunk": 0}])
def test_an_unknown_option_is_refused(option):
    with pytest.raises(ValueError, match=next(iter(option))):
        selective_scan(*inputs(), **option)


@pytest.mark.parametrize("discretize", DISCRETIZE)
def test_lti_convolution_is_the_scan_with_constants(discretize):
    u, delta, A, B, C, D, _ = inputs(l=33)
    d, b, c = delta[0, 0], B[0, 0], C[0, 0]
    want = selective_scan(u, d.expand_as(u), A, b.expand_as(B), c.expand_as(C), D, discretize=discretize)
    close(s4d_lti(u, d, A, b, c.expand_as(A), D, discretize=discretize), want, 1e-10)


# ----------------------------------------------------------------------------------------------------------------------------- block

SELECTS = [SELECTIVE, (), ("delta",), ("B",), ("B", "C"), ("delta", "C")]


@pytest.mark.parametrize("select", SELECTS, ids=lambda s: "+".join(s) or "none")
@pytest.mark.parametrize("discretize", DISCRETIZE)
def test_whole_prefilled_and_stepped_outputs_agree(select, discretize):
    torch.manual_seed(0)
    block, x = Mamba(6, d_state=3, select=select, discretize=discretize), torch.randn(2, 11, 6)
    with torch.no_grad():
        whole = block(x)
        for cut in (1, 2, 7, 11):  # shorter and longer than the convolution
            head, cache = block.prefill(x[:, :cut])
            outputs = [head]
            for t in range(cut, 11):
                before = [v.clone() for v in cache]
                y, after = block.step(x[:, t], cache)
                assert all(torch.equal(a, b) for a, b in zip(before, cache, strict=True))
                outputs.append(y[:, None])
                cache = after
            close(torch.cat(outputs, dim=1), whole, 1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_block_gives_the_same_whatever_the_method(method):
    torch.manual_seed(0)
    block, x = Mamba(6, d_conv=2, expand=1), torch.randn(1, 9, 6)
    want = block(x)
    block.method = method
    close(block(x), want, 1e-5)


@pytest.mark.parametrize("select", SELECTS, ids=lambda s: "+".join(s) or "none")
def test_block_is_causal_and_trains_every_parameter(select):
    torch.manual_seed(0)
    block, x = Mamba(6, select=select), torch.randn(2, 12, 6)
    changed = x.clone()
    changed[:, 7:] += 1
    close(block(changed)[:, :7], block(x)[:, :7], 0 if select else 1e-6)  # the FFT rounds differently
    block(x).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in block.parameters())


def test_step_sizes_start_between_a_thousandth_and_a_tenth():
    for select in (SELECTIVE, ()):
        block = Mamba(64, select=select)
        bias = block.dt_bias if block.dt_proj is None else block.dt_proj.bias
        start = F.softplus(bias.detach())
        assert 0.00099 < start.min() < 0.005 and 0.03 < start.max() < 0.101


def test_unknown_selection_is_refused():
    with pytest.raises(ValueError, match="gate"):
        Mamba(8, select=("delta", "gate"))


def test_language_model_streams_and_ties_its_head():
    torch.manual_seed(0)
    model, tokens = MambaLM(11, 8, 2, d_state=4), torch.randint(11, (2, 10))
    assert model.head.weight is model.embedding.weight
    with torch.no_grad():
        whole = model(tokens)
        head, caches = model.prefill(tokens[:, :5])
        middle, caches = model.prefill(tokens[:, 5:9], caches)
        last, caches = model.step(tokens[:, 9], caches)
    close(torch.cat([head, middle, last[:, None]], dim=1), whole, 1e-5)


# ----------------------------------------------------------------------------------------------------------------------------- tasks


@few
@given(st.integers(3, 60), st.integers(0, 1000))
def test_induction_has_one_special_token_before_the_question(L, seed):
    tokens, target, at = induction_heads(torch.Generator().manual_seed(seed), 16, L)
    assert tokens.shape == (16, L) and (tokens[:, -1] == 0).all() and ((tokens == 0).sum(1) == 2).all()
    rows = torch.arange(16)
    assert (tokens[rows, at] == 0).all() and torch.equal(tokens[rows, at + 1], target) and (target > 0).all()


@few
@given(st.integers(1, 40), st.data(), st.integers(0, 1000))
def test_copying_asks_for_the_data_in_order(L, data, seed):
    M = data.draw(st.integers(1, L))
    tokens, target = selective_copying(torch.Generator().manual_seed(seed), 8, L, M)
    assert tokens.shape == (8, L + M) and (tokens[:, L:] == 1).all()
    for row, want in zip(tokens[:, :L], target, strict=True):
        assert torch.equal(row[row > 1], want)


def test_tasks_refuse_lengths_that_cannot_hold_them():
    with pytest.raises(ValueError, match="at least 3"):
        induction_heads(torch.Generator(), 2, 2)
    with pytest.raises(ValueError, match="do not fit"):
        selective_copying(torch.Generator(), 2, 3, 4)
