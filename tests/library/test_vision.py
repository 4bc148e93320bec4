"""The vision protocol: patches, the small ViT, tokens gathered against tokens masked, scan orders, scenes."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minilib.count import flops, parameters
from minilib.data.images import digits, scenes
from minilib.vision import ViT, ViTBlock, block_macs, cross_scan_orders, gather_tokens, inverse_orders, patchify


def draw(seed=0):
    return torch.Generator().manual_seed(seed)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 5), st.integers(1, 3))
def test_patches_run_over_the_image_row_by_row(B, rows, columns, p):
    images = torch.rand(B, rows * p, columns * p, generator=draw())
    P = patchify(images, p, mean=0.0, std=1.0)
    assert P.shape == (B, rows * columns, p * p)
    for r in range(rows):
        for c in range(columns):
            assert torch.equal(P[:, r * columns + c], images[:, r * p : (r + 1) * p, c * p : (c + 1) * p].flatten(1))
    torch.testing.assert_close(patchify(images, p), (P - 0.3) / 0.37)


def test_an_image_that_cannot_be_cut_is_refused():
    with pytest.raises(ValueError, match="images of 7 × 8 pixels cannot be cut into patches of 2 × 2"):
        patchify(torch.zeros(1, 7, 8))


@pytest.fixture
def model():
    torch.manual_seed(0)
    return ViT(6).eval()


def test_the_protocol_s_size(model):
    assert parameters(model) == 26_602
    assert model(torch.randn(3, 36, 4)).shape == (3, 10)
    assert ViT((4, 8), layers=1)(torch.randn(2, 32, 4)).shape == (2, 10)
    with pytest.raises(ValueError, match="16 patches do not fill a grid of 6 × 6"):
        model(torch.randn(1, 16, 4))


def test_recorded_weights_are_those_of_attention_and_change_nothing(model):
    P, weights = torch.randn(2, 36, 4), []
    torch.testing.assert_close(model(P, keep=weights), model(P), atol=1e-5, rtol=1e-5)
    assert len(weights) == 3 and all(A.shape == (2, 4, 37, 37) for A in weights)
    torch.testing.assert_close(weights[2].sum(-1), torch.ones(2, 4, 37))


def test_a_causal_class_token_in_front_sees_no_image(model):
    lower = torch.ones(37, 37, dtype=torch.bool).tril()
    assert torch.equal(model(torch.randn(1, 36, 4), lower), model(torch.randn(1, 36, 4), lower))
    P = torch.randn(1, 36, 4, requires_grad=True)
    model(P, lower).sum().backward()
    assert float(P.grad.abs().max()) == 0


def test_patches_know_where_they_are(model):
    P = torch.randn(1, 36, 4)
    assert not torch.allclose(model(P), model(P.flip(1)), atol=1e-4)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 4), st.integers(1, 9), st.floats(0, 1), st.integers(0, 99))
def test_gathered_tokens_give_what_masked_tokens_give(B, N, rate, seed):
    torch.manual_seed(seed)
    blocks, x = [ViTBlock(8, 2, 2) for _ in range(2)], torch.randn(B, N + 1, 8)
    keep = torch.rand(B, N) < rate
    short, valid = gather_tokens(x, keep)
    assert short.shape[1] == 1 + int(keep.sum(1).max()) and torch.equal(valid.sum(1), 1 + keep.sum(1))
    stays = torch.cat([torch.ones(B, 1, dtype=torch.bool), keep], dim=1)
    for b in range(B):
        assert torch.equal(short[b, valid[b]], x[b, stays[b]]), "class token first, order kept"
    for block in blocks:
        x, short = block(x, stays[:, None, None]), block(short, valid[:, None, None])
    for b in range(B):
        torch.testing.assert_close(short[b, valid[b]], x[b, stays[b]], atol=1e-5, rtol=1e-5)


def test_gather_wants_one_answer_a_patch():
    with pytest.raises(ValueError, match="keep must say of 2 × 4 patches whether they stay, got shape \\(2, 5\\)"):
        gather_tokens(torch.randn(2, 5, 3), torch.ones(2, 5, dtype=torch.bool))


@pytest.mark.parametrize("n", [1, 17, 37])
@pytest.mark.parametrize("m", [1, 2, 4])
def test_macs_of_a_block_are_half_the_flops_that_pytorch_counts(n, m):
    block, x = ViTBlock(32, 4, m), torch.randn(1, n, 32)
    assert 2 * block_macs(n, 32, m) == flops(block, x, keep=[])  # written out: the fused form is not counted on a CPU
    assert block_macs(torch.tensor([n, 1]), 32, m).tolist() == [block_macs(n, 32, m), block_macs(1, 32, m)]


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 6), st.integers(1, 6))
def test_scan_orders_visit_every_token_once_and_have_a_way_back(h, w):
    orders = cross_scan_orders(h, w)
    everything = torch.arange(h * w)
    for order, inverse in zip(orders, inverse_orders(orders), strict=True):
        assert torch.equal(order[inverse], everything) and torch.equal(inverse[order], everything)
    assert torch.equal(orders[0], everything)
    columns = [(r, c) for c in range(w) for r in range(h)]
    assert orders[2].tolist() == [r * w + c for r, c in columns]
    assert torch.equal(orders[1], orders[0].flip(0)) and torch.equal(orders[3], orders[2].flip(0))
    x = torch.rand(1, h * w, 3)
    torch.testing.assert_close(sum(x[:, o][:, i] for o, i in zip(orders, inverse_orders(orders), strict=True)), 4 * x)


# --------------------------------------------------------------------------------------------------------------- digits and scenes


def test_digits_are_split_without_overlap_and_the_vision_lessons_split_has_no_validation_part():
    default, vision = digits(), digits(n_validation=0, n_test=360)
    assert [len(part[1]) for part in (default.train, default.validation, default.test)] == [1197, 200, 400]
    assert [len(part[1]) for part in (vision.train, vision.validation, vision.test)] == [1437, 0, 360]
    assert float(vision.train[0].min()) == 0 and float(vision.train[0].max()) == 1
    inks = torch.cat([vision.train[0], vision.test[0]]).sum((1, 2)).sort().values
    torch.testing.assert_close(inks, torch.cat([default.train[0], default.validation[0], default.test[0]]).sum((1, 2)).sort().values)
    with pytest.raises(ValueError, match="leave none of the 1797 digits"):
        digits(n_test=1700)


@settings(max_examples=20, deadline=None)
@given(st.sampled_from([8, 12, 16]), st.integers(0, 4), st.sampled_from([2, 4]), st.integers(0, 99))
def test_a_scene_holds_its_digit_whole_and_nothing_else_but_fragments(size, clutter, step, seed):
    X, _ = digits(n_validation=0, n_test=360).test
    idx = torch.randint(len(X), (7,), generator=draw(seed))
    S, box, lures = scenes(X, idx, draw(seed), size, clutter, step, return_lures=True)
    assert S.shape == (7, size, size) and lures.shape == (7, clutter)
    assert bool((box % step == 0).all()) and bool((box >= 0).all()) and bool((box <= size - 8).all())
    for scene, (r, c), i in zip(S, box.tolist(), idx, strict=True):
        assert torch.equal(scene[r : r + 8, c : c + 8], X[i])
        scene[r : r + 8, c : c + 8] = 0
        assert int((scene > 0).sum()) <= 16 * clutter
    again, where = scenes(X, idx, draw(seed), size, clutter, step)
    assert torch.equal(where, box) and torch.equal(again.sum((1, 2)) > 0, torch.ones(7, dtype=torch.bool))


def test_all_places_occur_and_a_small_canvas_is_refused():
    X, _ = digits().test
    _, box = scenes(X, torch.zeros(200, dtype=torch.long), draw())
    assert {tuple(b) for b in box.tolist()} == {(0, 0), (0, 4), (4, 0), (4, 4)}
    with pytest.raises(ValueError, match="does not fit on a canvas of 6 × 6"):
        scenes(X, torch.zeros(1, dtype=torch.long), draw(), 6)
