"""Hooks, discrete choices, compression, long attention."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from minilib import hooks
from minilib.compress import Quantizer, SliceLinear, head_importance, kd_loss, prune_magnitude, replace_linears, storage_bits
from minilib.discrete import gumbel_softmax, one_hot_argmax, round_through, top_k_through
from minilib.kernels.attention import attention_weights
from minilib.long_attention import (
    CharacterModel,
    Probe,
    attention_pairs,
    block_attention,
    block_visibility,
    character_nats,
    kflop,
    orthogonal_gaussian,
    reach,
    read_outs,
    row_on_text,
    token_probe,
    train_probe,
)
from minilib.training import fit
from minilib.transformer import Decoder, Stack

# -------------------------------------------------------------------------------------------------------------------------- hooks


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Decoder(11, 16, 2, 2, 24).eval()


SITE = "stack.blocks.0.mlp"


def test_cache_records_and_leaves_no_hook(model):
    x = torch.randint(11, (2, 5))
    before = model(x)
    with hooks.cache(model, [SITE, "stack.norm"]) as seen:
        model(x)
    torch.testing.assert_close(model.embed.logits(seen["stack.norm"]), before)
    assert seen[SITE].shape == (2, 5, 16)
    assert all(not m._forward_hooks for m in model.modules())


def test_splicing_the_same_function_changes_nothing_and_ablation_does(model):
    x = torch.randint(11, (2, 5))
    before, mlp = model(x), model.stack.blocks[0].mlp
    with hooks.splice(model, SITE, lambda given, _: mlp.down(mlp.hidden(given))):
        torch.testing.assert_close(model(x), before)
    with hooks.ablate(model, SITE):
        ablated = model(x)
    assert not torch.allclose(ablated, before)
    torch.testing.assert_close(model(x), before)


def test_patching_every_position_carries_the_other_run_over(model):
    a, b = torch.randint(11, (1, 5)), torch.randint(11, (1, 5))
    last = "stack.blocks.1"
    with hooks.cache(model, [last]) as seen:
        want = model(a)
    with hooks.patch(model, last, seen[last]):
        torch.testing.assert_close(model(b), want)
    with hooks.patch(model, last, seen[last], positions=[2]):
        partly = model(b)
    torch.testing.assert_close(partly[:, 2], want[:, 2])
    torch.testing.assert_close(partly[:, 3], model(b)[:, 3])


def test_an_unknown_site_is_a_sentence_with_near_names(model):
    with pytest.raises(ValueError, match="no site 'blocks.0.mlp'; near it are stack.blocks.0.mlp"), hooks.cache(model, ["blocks.0.mlp"]):
        pass


def test_gradient_reversal_is_the_identity_forward_and_minus_lambda_back():
    x = torch.randn(3, requires_grad=True)
    y = hooks.grad_reverse(x, 0.5)
    assert torch.equal(y, x)
    y.sum().backward()
    assert torch.equal(x.grad, torch.full((3,), -0.5))


# --------------------------------------------------------------------------------------------------------------- discrete choices


def test_gumbel_samples_follow_the_softmax_at_any_temperature():
    logits, draw = torch.tensor([1.0, 0.0, -1.0]), torch.Generator().manual_seed(0)
    for tau in (0.1, 2.0):
        picked = gumbel_softmax(logits.expand(20_000, 3), tau, generator=draw).argmax(-1)
        torch.testing.assert_close(torch.bincount(picked) / 20_000, logits.softmax(0), atol=0.02, rtol=0)


def test_hard_samples_are_one_hot_and_still_have_a_gradient():
    logits = torch.randn(4, 5, requires_grad=True)
    y = gumbel_softmax(logits, 0.7, hard=True, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(y, one_hot_argmax(y))
    (y * torch.randn(4, 5)).sum().backward()
    assert float(logits.grad.abs().sum()) > 0
    with pytest.raises(ValueError, match="tau must be positive"):
        gumbel_softmax(logits, 0.0)


def test_straight_through_passes_the_gradient_unchanged():
    for f in (round_through, lambda x: top_k_through(x, 2)):
        x = torch.randn(3, 4, requires_grad=True)
        w = torch.randn(3, 4)
        (f(x) * w).sum().backward()
        assert torch.equal(x.grad, w)
    assert (top_k_through(torch.randn(3, 4), 2) != 0).sum(1).tolist() == [2, 2, 2]


# -------------------------------------------------------------------------------------------------------------------- compression


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 8), st.booleans(), st.sampled_from([None, 0, 1]))
def test_quantising_moves_no_value_by_more_than_half_a_step(bits, symmetric, axis):
    x = torch.randn(6, 9, generator=torch.Generator().manual_seed(bits))
    quantizer = Quantizer(bits, symmetric, axis)
    s, _ = quantizer.parameters(x)
    y = quantizer.fake(x)
    assert bool(((y - x).abs() <= s / 2 + 1e-6).all())
    torch.testing.assert_close(quantizer.fake(torch.zeros(2, 2)), torch.zeros(2, 2))
    levels = (y / s).round().unique().numel() if axis is None else 0
    assert levels <= 2**bits


def test_fake_quantisation_stops_the_gradient_where_it_clamps():
    x = torch.tensor([0.1, 0.9, 5.0], requires_grad=True)
    quantizer = Quantizer(4)
    quantizer.fake(x, quantizer.parameters(torch.tensor([1.0]))).sum().backward()
    assert x.grad.tolist() == [1, 1, 0]
    with pytest.raises(ValueError, match="bits must lie between 2 and 16"):
        Quantizer(1)


def test_pruning_keeps_the_largest_in_total_or_in_groups():
    W = torch.randn(6, 8)
    keep = prune_magnitude(W, 0.75)
    assert keep.sum() == 12 and float(W[keep].abs().min()) >= float(W[~keep].abs().max())
    assert bool((prune_magnitude(W, group=(2, 4)).unflatten(1, (2, 4)).sum(2) == 2).all())
    assert bool(prune_magnitude(W, 0.0).all())
    with pytest.raises(ValueError, match="8 inputs cannot be cut into groups of 3"):
        prune_magnitude(W, group=(2, 3))


def test_distillation_reduces_to_cross_entropy_and_ignores_a_perfect_student():
    s, t, y = torch.randn(4, 5), torch.randn(4, 5), torch.randint(5, (4,))
    torch.testing.assert_close(kd_loss(s, t, y, alpha=0.0), F.cross_entropy(s, y))
    assert float(kd_loss(t, t, tau=3.0)) == pytest.approx(0, abs=1e-6)
    want = F.kl_div(s.log_softmax(-1), t.log_softmax(-1), log_target=True, reduction="batchmean")
    torch.testing.assert_close(kd_loss(s, t), want)
    assert float(kd_loss(s, t, mask=torch.tensor([True, False, False, False]))) == pytest.approx(float(kd_loss(s[:1], t[:1])), abs=1e-6)


def test_head_importance_is_the_gradient_of_the_gates():
    weight = torch.tensor([[1.0, -2.0]])
    assert head_importance(lambda g: (g * weight).sum(), torch.ones(1, 2)).tolist() == [[1, 2]]
    assert head_importance(lambda g: (g * weight).sum(), torch.ones(1, 2), fisher=True).tolist() == [[1, 4]]


def test_a_slice_of_a_layer_is_the_layer_of_a_slice():
    layer, x = SliceLinear(8, 6), torch.randn(3, 5)
    torch.testing.assert_close(layer(x, 4), x @ layer.weight[:4, :5].T + layer.bias[:4])


def test_bits_of_each_storage_agree_with_a_count():
    assert storage_bits("dense", 8, 16, bits=8) == 1024
    assert storage_bits("lowrank", 8, 16, bits=8, rank=2) == 2 * 24 * 8
    assert storage_bits("nm", 8, 16, bits=8, group=(2, 4)) == 64 * 10
    assert storage_bits("dsf", 8, 16, bits=8, block=4, atoms=4, k=2) == 4 * (16 * 8 + 16 * 10)
    with pytest.raises(ValueError, match="unknown kind"):
        storage_bits("sparse", 1, 1)


def test_replacing_layers_leaves_the_original_alone(model):
    x, before = torch.randint(11, (1, 4)), None
    before = model(x)
    other = replace_linears(model, lambda name, linear: torch.nn.Linear(linear.in_features, linear.out_features, bias=False))
    assert not torch.allclose(other(x), before) and torch.equal(model(x), before)
    torch.testing.assert_close(replace_linears(model, lambda name, linear: None)(x), before)


# ----------------------------------------------------------------------------------------------------------------- long attention


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 23), st.integers(1, 7), st.integers(0, 3))
def test_block_attention_equals_attention_under_its_mask(L, m, back):
    q, k, v = (torch.randn(1, 2, L, 4, generator=torch.Generator().manual_seed(i)) for i in range(3))
    want = attention_weights(q, k, block_visibility(L, m, back)) @ v
    torch.testing.assert_close(block_attention(q, k, v, m, back), want, atol=1e-5, rtol=1e-5)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 30), st.integers(1, 6), st.integers(0, 2))
def test_pairs_are_counted_as_the_masks_count_them(L, m, back):
    assert attention_pairs([None, (m, back)], L) == L * (L + 1) // 2 + int(block_visibility(L, m, back).sum())


def test_reach_grows_by_a_block_a_layer_and_one_full_layer_reaches_all():
    L, m = 24, 4
    block, full = block_visibility(L, m, 1), torch.ones(L, L).tril().bool()
    seen = reach([block] * 3)
    assert not bool(seen[-1, : L - 4 * m].any()) and bool(seen[-1, L - 4 * m :].all())
    for position in range(3):
        assert torch.equal(reach([full if i == position else block for i in range(3)]), full)


def test_random_features_prefer_no_direction():
    draw = torch.Generator().manual_seed(0)
    mean = torch.stack([orthogonal_gaussian(8, 8, generator=draw) for _ in range(2000)]).mean(0)
    assert mean.abs().max() < 0.15  # six standard errors; without the signs of R it is 0.8


def test_token_probe_answers_its_three_questions():
    (key, value, label, bit), (local, match, most) = token_probe(torch.Generator().manual_seed(3), 4, 12)
    for b in range(4):
        for q in range(6):
            item = int((key[b, :6] == key[b, 6 + q]).nonzero())
            counts = label[b, :6].bincount(minlength=9)
            assert match[b, q] == value[b, item] and local[b, q] == bit[b, 2 + q : 7 + q].sum()
            assert counts[most[b, q]] == counts.max()
    assert bool((value[:, 6:] == 8).all() and (label[:, 6:] == 8).all())


def test_the_frame_of_the_chapter_trains_and_scores_any_mixer():
    run = train_probe(lambda L: torch.nn.Linear(48, 48), seed=0, L=16, batch=4, steps=3)
    assert isinstance(run.model, Probe) and len(run.losses) == 3 and all(0 <= a <= 1 for a in read_outs(run.model, 16))
    assert kflop(torch.nn.Linear(48, 48), 16) == pytest.approx(2 * 48 * 48 / 1000)


def test_characters_are_predicted_with_positions_around_any_stack():
    torch.manual_seed(0)
    model = CharacterModel(7, 6, 8, lambda: Stack(8, 2, 1, 16, positions="none", kind="gelu"))
    decoder, words = Decoder(7, 8, 2, 1, 16, positions="none", kind="gelu"), torch.randint(7, (3, 6))
    decoder.load_state_dict({name: value for name, value in model.state_dict().items() if name != "position"})
    assert (model(words) - decoder(words)).abs().max() > 1e-3
    nats = -model(words[:, :-1]).log_softmax(-1).gather(-1, words[:, 1:, None]).mean()
    torch.testing.assert_close(character_nats(model, words), nats)
    with torch.no_grad():
        model.position.zero_()
    torch.testing.assert_close(model(words), decoder(words))
    run = fit(model, lambda g: words, character_nats, steps=2, lr=0.01, seed=0)
    row = row_on_text([run], [0.5], words[:1])
    assert row["test loss (nats/char)"] == [0.5] and row["parameters"] == sum(p.numel() for p in model.parameters())


def test_orthogonal_features_are_orthogonal_and_as_long_as_gaussians():
    W = orthogonal_gaussian(6, 3, generator=torch.Generator().manual_seed(0))
    for block in W.split(3):
        directions = block / block.norm(dim=1, keepdim=True)
        torch.testing.assert_close(directions @ directions.T, torch.eye(3), atol=1e-5, rtol=1e-5)
    many = orthogonal_gaussian(3000, 8, generator=torch.Generator().manual_seed(0))
    assert float(many.pow(2).sum(1).mean()) == pytest.approx(8, rel=0.05) and math.isfinite(float(many.sum()))
