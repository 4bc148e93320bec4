"""Every form of a kernel gives the reference's numbers, forward and backward, at odd shapes; bad arguments get a sentence.

The Triton forms run in Triton's CPU interpreter (float32 only: the interpreter's ``tl.dot`` is not right for bfloat16).
"""

import importlib.util

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jaxtyping import config as jaxtyping_config
from torch.autograd import gradcheck
from torch.nn import functional as F

from minilib.attention import tree_visibility
from minilib.kernels.attention import attention, attention_streaming
from minilib.kernels.backend import choose
from minilib.kernels.cross_entropy import linear_cross_entropy
from minilib.kernels.ctc import ctc_loss
from minilib.kernels.dense_sparse import dense_sparse, dense_weight
from minilib.kernels.grouped_matmul import combine, grouped_matmul, sort_by_expert
from minilib.kernels.monarch import causal_convolution, monarch, monarch_dense
from minilib.kernels.rms_norm import rms_norm_residual
from minilib.kernels.rnnt import rnnt_loss
from minilib.kernels.tree_scan import tree_scan
from minilib.kernels.window_attention import window_attention

TRITON = importlib.util.find_spec("triton") is not None
FORMS = ["fast", pytest.param("triton", marks=pytest.mark.skipif(not TRITON, reason="Triton is not installed"))]
few = settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
# the interpreter needs about a hundredth of a second a program
fewer = settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))


def examples(form):
    return fewer if form == "triton" else few


def outcome(f, inputs):
    """The results of f and their gradients with respect to every floating-point input, for a random direction."""
    leaves = [x.detach().clone().requires_grad_(x.is_floating_point()) for x in inputs]
    results = f(*leaves)
    results = results if isinstance(results, tuple) else (results,)
    draw = torch.Generator().manual_seed(5)
    total = sum((r * torch.randn(r.shape, generator=draw, dtype=r.dtype)).sum() for r in results)
    grads = torch.autograd.grad(total, [x for x in leaves if x.requires_grad])
    return [r.detach() for r in results] + list(grads)


def agree(f, g, inputs, tolerance):
    for got, want in zip(outcome(f, inputs), outcome(g, inputs), strict=True):
        assert got.dtype == want.dtype
        torch.testing.assert_close(got, want, atol=tolerance, rtol=tolerance)


def dtypes(form):
    return [(torch.float32, 1e-5)] if form == "triton" else [(torch.float32, 1e-5), (torch.float64, 1e-10)]


def random(*shape, dtype=torch.float32, seed=0):
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed + sum(shape)))


@pytest.fixture
def unchecked():
    """Shape annotations off, as for a reader: then the kernel's own sentence must come."""
    jaxtyping_config.update("jaxtyping_disable", True)
    yield
    jaxtyping_config.update("jaxtyping_disable", False)


# ------------------------------------------------------------------------------------------------------------------------ RMSNorm


@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize("form", FORMS)
def test_rms_norm_equals_its_reference(form, residual):
    @examples(form)
    @given(st.lists(st.integers(1, 5), max_size=2), st.integers(1, 19))
    def holds(lead, width):
        for dtype, tolerance in dtypes(form):
            inputs = [random(*lead, width, dtype=dtype, seed=i) for i in range(1 + residual)] + [random(width, dtype=dtype)]

            def f(*x, backend):
                return rms_norm_residual(x[0], x[-1], x[1] if residual else None, backend=backend)

            agree(lambda *x: f(*x, backend=form), lambda *x: f(*x, backend="reference"), inputs, tolerance)

    holds()


def test_rms_norm_ignores_the_scale_of_a_row():
    x, g = random(4, 32), random(32)
    torch.testing.assert_close(rms_norm_residual(7 * x, g)[0], rms_norm_residual(x, g)[0], atol=1e-5, rtol=1e-5)


def test_rms_norm_passes_gradcheck_and_takes_bfloat16():
    x, g, r = (random(3, 5, dtype=torch.float64).requires_grad_(), random(5, dtype=torch.float64).requires_grad_(), random(3, 5).double())
    assert gradcheck(lambda x, g: rms_norm_residual(x, g, r), (x, g))
    assert rms_norm_residual(random(2, 8).bfloat16(), torch.ones(8).bfloat16())[0].dtype == torch.bfloat16


# ---------------------------------------------------------------------------------------------------------------------- attention


@pytest.mark.parametrize("form", FORMS)
def test_attention_equals_its_reference_for_every_mask(form):
    @examples(form)
    @given(
        st.integers(1, 2), st.sampled_from([(1, 1), (2, 1), (4, 2), (3, 3)]), st.integers(1, 19), st.integers(0, 5), st.integers(1, 9),
        st.booleans(), st.booleans(),
    )  # fmt: skip
    def holds(B, heads, Q, extra, K, causal, masked):
        H, G = heads
        mask = torch.rand(B, 1, Q, Q + extra, generator=torch.Generator().manual_seed(Q)) < 0.6 if masked else None
        for dtype, tolerance in dtypes(form):
            inputs = [random(B, H, Q, K, dtype=dtype), random(B, G, Q + extra, K, dtype=dtype), random(B, G, Q + extra, K + 1, dtype=dtype)]

            def f(q, k, v, backend):
                return attention(q, k, v, mask, causal=causal, backend=backend)

            agree(lambda *x: f(*x, backend=form), lambda *x: f(*x, backend="reference"), inputs, 2 * tolerance)

    holds()


@few
@given(st.integers(1, 20), st.integers(1, 20), st.integers(1, 8), st.integers(1, 9))
def test_streaming_softmax_equals_the_whole_softmax(Q, S, K, block):
    mask = torch.rand(1, 2, Q, S, generator=torch.Generator().manual_seed(S)) < 0.7
    inputs = [random(1, 2, Q, K, dtype=torch.float64), random(1, 2, S, K, dtype=torch.float64), random(1, 2, S, K, dtype=torch.float64)]
    agree(
        lambda q, k, v: attention_streaming(q, k, v, mask, block=block),
        lambda q, k, v: attention(q, k, v, mask, backend="reference"),
        inputs,
        1e-10,
    )


@pytest.mark.parametrize("form", ["reference", *FORMS])
def test_a_query_that_sees_nothing_gets_zeros(form):
    mask = torch.ones(5, 5, dtype=torch.bool)
    mask[2] = False
    q = random(1, 1, 5, 4).requires_grad_()
    out = attention(q, random(1, 1, 5, 4), random(1, 1, 5, 4), mask, backend=form)
    assert bool((out[0, 0, 2] == 0).all())
    out.sum().backward()
    assert bool(q.grad.isfinite().all())


def test_attention_with_huge_scores_is_a_choice_not_a_nan():
    q, k, v = 1e4 * torch.eye(3)[None, None], torch.eye(3)[None, None], random(1, 1, 3, 2)
    for form in ("reference", "fast"):
        torch.testing.assert_close(attention(q, k, v, backend=form), v)
    torch.testing.assert_close(attention_streaming(q, k, v, block=1), v)


def test_attention_takes_views_and_a_subset_of_gradients():
    q, k, v = random(2, 7, 3, 4).transpose(1, 2), random(2, 7, 3, 4).transpose(1, 2), random(2, 3, 7, 4)[..., ::2]
    k.requires_grad_()
    agree(lambda k: attention(q, k, v), lambda k: attention(q, k, v, backend="reference"), [k], 1e-5)
    assert attention(q.bfloat16(), k.bfloat16(), v.bfloat16()).dtype == torch.bfloat16


@pytest.mark.parametrize("form", FORMS)
def test_window_attention_equals_its_reference(form):
    @examples(form)
    @given(st.integers(1, 40), st.integers(1, 45))
    def holds(L, window):
        for dtype, tolerance in dtypes(form):
            inputs = [random(1, 2, L, 3, dtype=dtype, seed=i) for i in range(3)]
            agree(
                lambda q, k, v: window_attention(q, k, v, window, backend=form),
                lambda q, k, v: window_attention(q, k, v, window, backend="reference"),
                inputs,
                2 * tolerance,
            )

    holds()


def test_window_attention_sees_exactly_its_window():
    q, k, v = (random(1, 1, 30, 4, seed=i) for i in range(3))
    before = window_attention(q, k, v, 6)
    k2, v2 = k.clone(), v.clone()
    k2[..., 11, :], v2[..., 11, :] = 9.0, 9.0
    changed = (window_attention(q, k2, v2, 6) != before).any(-1)[0, 0].nonzero().flatten().tolist()
    assert changed == list(range(11, 17))


# ---------------------------------------------------------------------------------------------------------- linear + cross-entropy


@pytest.mark.parametrize("form", FORMS)
def test_linear_cross_entropy_equals_its_reference(form):
    @examples(form)
    @given(st.integers(1, 40), st.integers(1, 50), st.integers(1, 9), st.integers(1, 13))
    def holds(n, V, D, chunk):
        y = torch.randint(V, (n,), generator=torch.Generator().manual_seed(n))
        y[1::3] = -100
        for dtype, tolerance in dtypes(form):
            inputs = [random(n, D, dtype=dtype), random(V, D, dtype=dtype, seed=1)]

            def f(x, W, backend):
                return linear_cross_entropy(x, W, y, chunk=chunk, backend=backend)

            agree(lambda *x: f(*x, backend=form), lambda *x: f(*x, backend="reference"), inputs, tolerance)

    holds()


def test_linear_cross_entropy_gives_only_the_gradients_that_are_wanted():
    x, W, y = random(5, 3), random(4, 3).requires_grad_(), torch.tensor([0, 1, 2, 3, 0])
    linear_cross_entropy(x, W, y, chunk=2).backward()
    want = torch.autograd.grad(F.cross_entropy(x @ W.T, y), W)[0]
    torch.testing.assert_close(W.grad, want)


# ------------------------------------------------------------------------------------------------------------------------ Monarch


@pytest.mark.parametrize("form", FORMS)
def test_monarch_equals_its_dense_matrix(form):
    @examples(form)
    @given(st.integers(1, 6), st.lists(st.integers(1, 4), max_size=2))
    def holds(b, lead):
        for dtype, tolerance in dtypes(form):
            inputs = [random(*lead, b * b, dtype=dtype), random(b, b, b, dtype=dtype), random(b, b, b, dtype=dtype, seed=1)]
            agree(
                lambda x, L, R: monarch(x, L, R, backend=form),
                lambda x, L, R: monarch(x, L, R, backend="reference"),
                inputs,
                5 * tolerance,
            )

    holds()


def test_the_fourier_transform_is_a_monarch_matrix():
    b = 4
    n = b * b
    w = lambda k, m: torch.exp(-2j * torch.pi * torch.tensor(k) / m)  # noqa: E731
    R = torch.stack([torch.stack([torch.stack([w(i * j, b) for j in range(b)]) for i in range(b)])] * b)
    L = torch.stack([torch.stack([torch.stack([w(p * k, n) * w(i * k, b) for k in range(b)]) for i in range(b)]) for p in range(b)])
    want = torch.fft.fft(torch.eye(n, dtype=torch.complex64), dim=0)
    torch.testing.assert_close(monarch_dense(L, R).to(torch.complex64), want, atol=1e-4, rtol=1e-4)


@few
@given(st.integers(1, 33), st.integers(1, 40))
def test_causal_convolution_equals_the_sum(L, taps):
    inputs = [random(2, L, dtype=torch.float64), random(taps, dtype=torch.float64)]
    agree(lambda u, h: causal_convolution(u, h), lambda u, h: causal_convolution(u, h, backend="reference"), inputs, 1e-10)


# ------------------------------------------------------------------------------------------------------------------ grouped product


@pytest.mark.parametrize("form", FORMS)
def test_grouped_product_equals_one_matrix_a_row(form):
    @examples(form)
    @given(st.integers(1, 5), st.integers(1, 30), st.integers(1, 2), st.integers(1, 6), st.integers(1, 40), st.booleans())
    def holds(E, T, k, D, F_, one_expert):
        index = torch.zeros(T, k, dtype=torch.long) if one_expert else torch.randint(E, (T, k), generator=torch.Generator().manual_seed(T))
        token, choice, counts = sort_by_expert(index, E)
        assert counts.sum() == T * k and bool((index[token, choice].diff() >= 0).all())
        for dtype, tolerance in dtypes(form):
            inputs = [random(T, D, dtype=dtype)[token], random(E, D, F_, dtype=dtype)]
            agree(
                lambda x, W: grouped_matmul(x, W, counts, backend=form),
                lambda x, W: grouped_matmul(x, W, counts, backend="reference"),
                inputs,
                2 * tolerance,
            )

    holds()


def test_dispatch_and_combine_equal_the_sum_over_choices():
    T, k, E, D = 9, 2, 4, 3
    x, W, gate = random(T, D), random(E, D, D), random(T, k)
    index = torch.randint(E, (T, k), generator=torch.Generator().manual_seed(0))
    token, choice, counts = sort_by_expert(index, E)
    got = combine(grouped_matmul(x[token], W, counts), token, choice, gate)
    want = torch.stack([sum(gate[t, j] * x[t] @ W[index[t, j]] for j in range(k)) for t in range(T)])
    torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-5)


# --------------------------------------------------------------------------------------------------------------------- dense × sparse


@pytest.mark.parametrize("form", FORMS)
def test_dense_sparse_equals_its_weight(form):
    @examples(form)
    @given(st.integers(1, 3), st.integers(1, 6), st.integers(1, 4), st.integers(1, 7), st.integers(1, 20))
    def holds(J, r, b, m, n):
        k = min(2, r)
        index = torch.stack([torch.stack([torch.randperm(r)[:k] for _ in range(m)]) for _ in range(J)])
        for dtype, tolerance in dtypes(form):
            inputs = [random(n, J * b, dtype=dtype), random(J, r, b, dtype=dtype), random(J, m, k, dtype=dtype)]
            agree(
                lambda x, D, v: dense_sparse(x, D, index, v, backend=form),
                lambda x, D, v: dense_sparse(x, D, index, v, backend="reference"),
                inputs,
                2 * tolerance,
            )

    holds()


def test_dense_sparse_with_an_identity_dictionary_is_n_m_pruning():
    W = random(5, 8)
    keep = W.unflatten(1, (2, 4)).abs().topk(2, dim=2).indices.permute(1, 0, 2)  # 2 of 4 kept
    value = W.unflatten(1, (2, 4)).permute(1, 0, 2).gather(2, keep)
    pruned = dense_weight(torch.eye(4).expand(2, 4, 4), keep, value)
    assert int((pruned != 0).sum()) == 5 * 4 and bool(((pruned == 0) | (pruned == W)).all())


# ---------------------------------------------------------------------------------------------------------------------- tree scan


def tree_inputs(n, h, p, s, dtype):
    dt, A = F.softplus(random(2, n, h, dtype=dtype)), -random(h, dtype=dtype).exp()
    x, S0 = random(2, n, h, p, dtype=dtype), random(2, h, p, s, dtype=dtype)
    return [dt, A, x, random(2, n, s, dtype=dtype), random(2, n, s, dtype=dtype, seed=1), S0]


@pytest.mark.parametrize("form", FORMS)
def test_tree_scan_equals_one_state_a_node(form):
    @examples(form)
    @given(st.integers(1, 12).flatmap(lambda n: st.tuples(*[st.integers(-1, max(-1, i - 1)) for i in range(n)])), st.integers(1, 3))
    def holds(parents, h):
        M = tree_visibility(list(parents))
        for dtype, tolerance in dtypes(form):
            agree(
                lambda *x: tree_scan(M, *x, backend=form),
                lambda *x: tree_scan(M, *x, backend="reference"),
                tree_inputs(len(parents), h, 3, 2, dtype),
                5 * tolerance,
            )

    holds()


def test_siblings_do_not_see_each_other():
    M = tree_visibility([-1, 0, 0, 1, 2])
    inputs = tree_inputs(5, 2, 3, 4, torch.float64)
    before = tree_scan(M, *inputs)
    inputs[2] = inputs[2].clone()
    inputs[2][:, 1] += 1  # node 1, whose only descendant is node 3
    changed = (tree_scan(M, *inputs) != before).flatten(2).any(2).any(0).tolist()
    assert changed == [False, True, False, True, False]


# ------------------------------------------------------------------------------------------------------------- CTC and transducer


def ragged(B, T, U, V, seed=0):
    draw = torch.Generator().manual_seed(seed)
    y = torch.randint(1, V, (B, U), generator=draw)
    frames, labels = torch.randint(1, T + 1, (B,), generator=draw), torch.randint(0, U + 1, (B,), generator=draw)
    return y, frames, labels


@pytest.mark.parametrize("form", FORMS)
def test_ctc_equals_its_reference_and_pytorch(form):
    @examples(form)
    @given(st.integers(1, 3), st.integers(1, 8), st.integers(1, 4), st.integers(2, 5), st.integers(0, 5))
    def holds(B, T, U, V, seed):
        for dtype, tolerance in dtypes(form):
            y, frames, labels = ragged(B, T, U, V, seed)
            logits = random(B, T, V, dtype=dtype)
            loss = ctc_loss(logits.log_softmax(-1), y, frames, labels, backend=form)
            theirs = F.ctc_loss(logits.log_softmax(-1).transpose(0, 1), y, frames, labels, reduction="none")
            possible = loss < float("inf")
            assert bool((possible == theirs.isfinite()).all())
            if not bool(possible.any()):
                continue
            y, frames, labels, logits = y[possible], frames[possible], labels[possible], logits[possible]
            f = lambda z, backend: ctc_loss(z.log_softmax(-1), y, frames, labels, backend=backend)  # noqa: B023, E731
            g = lambda z: F.ctc_loss(z.log_softmax(-1).transpose(0, 1), y, frames, labels, reduction="none")  # noqa: B023, E731
            agree(lambda z: f(z, form), lambda z: f(z, "reference"), [logits], tolerance)  # noqa: B023
            agree(lambda z: f(z, form), g, [logits], tolerance)  # noqa: B023

    holds()


@pytest.mark.parametrize("form", FORMS)
def test_ctc_without_any_alignment_is_infinite_and_has_no_gradient(form):
    logp = random(2, 2, 3).log_softmax(-1).requires_grad_()
    loss = ctc_loss(logp, torch.tensor([[1, 1], [1, 2]]), torch.tensor([2, 2]), torch.tensor([2, 2]), backend=form)
    assert loss.isfinite().tolist() == [False, True]  # two equal labels need a blank between them: three frames
    loss.clamp(max=1e4).sum().backward()
    assert bool(logp.grad.isfinite().all()) and bool((logp.grad[0] == 0).all()) and bool((logp.grad[1] != 0).any())


@pytest.mark.parametrize("form", FORMS)
def test_rnnt_equals_its_reference(form):
    @examples(form)
    @given(st.integers(1, 3), st.integers(1, 7), st.integers(1, 4), st.integers(2, 4), st.integers(0, 5), st.booleans())
    def holds(B, T, U, V, seed, windowed):
        y, frames, labels = ragged(B, T, U, V, seed)
        allow = torch.rand(B, T, U, generator=torch.Generator().manual_seed(seed)) < 0.6 if windowed else None
        f = lambda z, backend: rnnt_loss(z.log_softmax(-1), y, frames, labels, allow, backend=backend)  # noqa: E731
        for dtype, tolerance in dtypes(form):
            z = random(B, T, U + 1, V, dtype=dtype)
            agree(lambda z: f(z, form), lambda z: f(z, "reference"), [z], 10 * tolerance)

    holds()


def test_rnnt_sums_all_paths():
    """With uniform log-probabilities every path has the same, and there are C(T − 1 + U, U) of them."""
    from math import comb, log

    T, U, V = 5, 3, 4
    logp = torch.full((1, T, U + 1, V), -log(V), dtype=torch.float64)
    loss = rnnt_loss(logp, torch.ones(1, U, dtype=torch.long), torch.tensor([T]), torch.tensor([U]))
    assert abs(float(loss) - ((T + U) * log(V) - log(comb(T - 1 + U, U)))) < 1e-10


def test_recursions_pass_gradcheck():
    y, frames, labels = torch.tensor([[1, 1], [2, 1]]), torch.tensor([4, 3]), torch.tensor([2, 1])
    z = random(2, 4, 3, dtype=torch.float64).requires_grad_()
    assert gradcheck(lambda z: ctc_loss(z.log_softmax(-1), y, frames, labels), z)
    z = random(2, 4, 3, 3, dtype=torch.float64).requires_grad_()
    assert gradcheck(lambda z: rnnt_loss(z.log_softmax(-1), y, frames, labels), z)


# ---------------------------------------------------------------------------------------------------------------------- bad input


ones, tensor = torch.ones, torch.tensor


def two(n=4):
    return ones(1, 1, 3, n)


BAD = {
    "unknown backend": (lambda: choose("cuda", two()), "backend is 'cuda'"),
    "g too short": (lambda: rms_norm_residual(ones(2, 4), ones(3)), r"g has shape \(3,\); it must be \(4\)"),
    "residual of another shape": (lambda: rms_norm_residual(ones(2, 4), ones(4), ones(4)), "residual has shape"),
    "heads of two widths": (lambda: attention(two(4), two(5), two(4)), "q has heads of width 4 and k of width 5"),
    "mask of numbers": (lambda: attention(two(), two(), two(), ones(3, 3)), "mask has dtype torch.float32"),
    "heads that cannot be shared": (lambda: attention(ones(1, 3, 2, 4), ones(1, 2, 2, 4), ones(1, 2, 2, 4)), "3 query heads"),
    "no window": (lambda: window_attention(two(), two(), two(), 0), "window must be at least 1"),
    "nothing to predict": (lambda: linear_cross_entropy(ones(2, 3), ones(4, 3), tensor([-100, -100])), "no token that counts"),
    "W of another width": (lambda: linear_cross_entropy(ones(2, 3), ones(4, 5), tensor([0, 1])), "W has shape"),
    "width that is no square": (lambda: monarch(ones(5), ones(2, 2, 2), ones(2, 2, 2)), "x has width 5"),
    "empty filter": (lambda: causal_convolution(ones(4), ones(0)), "must not be empty"),
    "counts that do not add up": (lambda: grouped_matmul(ones(3, 2), ones(2, 2, 2), tensor([1, 1])), "add up to the 3 rows"),
    "negative count": (lambda: grouped_matmul(ones(1, 2), ones(2, 2, 2), tensor([2, -1])), "must not be negative"),
    "expert that does not exist": (lambda: sort_by_expert(tensor([[4]]), 4), "experts 0 to 3"),
    "atom that does not exist": (
        lambda: dense_sparse(ones(4), ones(1, 2, 4), tensor([[[2]]]), ones(1, 1, 1)),
        "atoms 0 to 1",
    ),
    "a mask that is no tree": (
        lambda: tree_scan(tensor([[True, True], [False, True]]), *tree_inputs(2, 1, 1, 1, torch.float32)),
        "not the mask of a tree",
    ),
    "blank as a label": (lambda: ctc_loss(ones(1, 2, 2), tensor([[0]]), tensor([2]), tensor([1])), "the blank 0"),
    "more frames than there are": (lambda: ctc_loss(ones(1, 2, 2), tensor([[1]]), tensor([3]), tensor([1])), "frames must lie"),
    "negative length": (lambda: rnnt_loss(ones(1, 2, 2, 2), tensor([[1]]), tensor([2]), tensor([-1])), "labels must lie"),
    "integers for numbers": (lambda: monarch(ones(4), ones(2, 2, 2, dtype=torch.long), ones(2, 2, 2)), "L has dtype"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_arguments_get_a_sentence(case, unchecked):
    call, sentence = BAD[case]
    with pytest.raises(ValueError, match=sentence):
        call()
