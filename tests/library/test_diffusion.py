"""Noise tables, targets that hold the same information, DDIM there and back, masks."""

import pytest
import torch
from torch import nn

from minilib.diffusion import (
    UNet,
    absorb,
    cosine_alphas,
    ddim_invert,
    ddim_sample,
    ddim_step,
    diffusion_loss,
    linear_alphas,
    masked_decode,
    masked_loss,
    q_sample,
    timestep_embedding,
    to_eps,
)


@pytest.mark.parametrize("table", [cosine_alphas, linear_alphas])
@pytest.mark.parametrize("T", [10, 200, 1000])
def test_kept_signal_falls_from_nearly_all_to_nearly_nothing(table, T):
    ab = table(T)
    assert bool((ab.diff() <= 0).all()) and float(ab[0]) > 0.85 and 0 < float(ab[-1]) < 0.02


def test_all_targets_stand_for_the_same_noise():
    ab, t = cosine_alphas(50), torch.tensor([0, 20, 40])
    x0, eps = torch.randn(3, 1, 4, 4), torch.randn(3, 1, 4, 4)
    x_t, a = q_sample(x0, t, eps, ab), ab[t].view(3, 1, 1, 1)
    for target, out in {"eps": eps, "v": a.sqrt() * eps - (1 - a).sqrt() * x0, "x0": x0}.items():
        torch.testing.assert_close(to_eps(out, x_t, t, ab, target), eps, atol=1e-3, rtol=1e-3)
    with pytest.raises(ValueError, match="unknown target"):
        to_eps(eps, x_t, t, ab, "noise")


def test_noisy_data_keep_their_variance():
    x0, eps = torch.randn(20_000, 1), torch.randn(20_000, 1)
    for t in (0, 25, 49):
        assert float(q_sample(x0, torch.full((20_000,), t), eps, cosine_alphas(50)).var()) == pytest.approx(1, abs=0.05)


def test_a_ddim_step_there_and_back_is_the_identity():
    x, eps, a, b = torch.randn(2, 3), torch.randn(2, 3), torch.tensor(0.3), torch.tensor(0.9)
    torch.testing.assert_close(ddim_step(ddim_step(x, eps, a, b), eps, b, a), x, atol=1e-5, rtol=1e-5)


def exact(ab):
    """For data N(0, 1) the best guess of the noise is √(1 − ᾱ_t) x_t."""
    return lambda x, t, cond: (1 - ab[t]).sqrt().view(-1, *[1] * (x.ndim - 1)) * x


@pytest.mark.parametrize("target", ["eps", "v"])
def test_sampling_an_exactly_known_distribution_keeps_it_and_inversion_undoes_it(target):
    ab = cosine_alphas(400)
    model = exact(ab) if target == "eps" else (lambda x, t, cond: torch.zeros_like(x))  # v = 0 is the exact answer for N(0, 1)
    noise = torch.randn(4000, 1)
    data = ddim_sample(model, noise, None, 200, ab=ab, target=target)
    assert float(data.std()) == pytest.approx(1, abs=0.1)
    back = ddim_invert(model, data, None, 200, ab=ab, target=target)
    assert float((back - noise).abs().mean()) < 0.1


def test_guidance_of_one_and_equal_conditions_change_nothing():
    ab = cosine_alphas(20)
    model = lambda x, t, cond: 0.1 * x + cond  # noqa: E731
    x, cond = torch.randn(3, 2), torch.ones(3, 2)
    plain = ddim_sample(model, x, cond, 5, ab=ab)
    torch.testing.assert_close(ddim_sample(model, x, cond, 5, ab=ab, guidance=3.0, null=cond), plain, atol=1e-4, rtol=1e-4)
    with pytest.raises(ValueError, match="steps must lie between 1 and the 20"):
        ddim_sample(model, x, cond, 21, ab=ab)


def test_unet_keeps_the_shape_uses_time_and_condition_and_learns():
    torch.manual_seed(0)
    net, ab = UNet((8, 16, 24), cond_dim=3), cosine_alphas(50)
    x, cond = torch.randn(8, 1, 16, 16), torch.randn(8, 3)
    nn.init.normal_(net.last.weight, std=0.1)
    assert net(x, torch.arange(8), cond).shape == x.shape
    assert not torch.equal(net(x, torch.zeros(8, dtype=torch.long), cond), net(x, torch.full((8,), 40), cond))
    assert not torch.equal(net(x, torch.arange(8), cond), net(x, torch.arange(8), cond + 1))
    optimiser, draw, losses = torch.optim.Adam(net.parameters(), 3e-3), torch.Generator().manual_seed(0), []
    image = torch.zeros(8, 1, 16, 16)
    image[:, :, 4:12, 4:12] = 1
    for _ in range(60):
        loss = diffusion_loss(net, image, cond, ab, "v", generator=draw)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert sum(losses[-10:]) < 0.5 * sum(losses[:10])


def test_time_embeddings_differ_and_stay_bounded():
    e = timestep_embedding(torch.arange(100), 16)
    assert e.shape == (100, 16) and float(e.abs().max()) <= 1 and float(torch.cdist(e, e)[~torch.eye(100).bool()].min()) > 1e-3


def test_masks_hit_the_asked_share_and_nothing_else_changes():
    x = torch.randint(1, 9, (4, 5000))
    x_t, masked = absorb(x, torch.tensor([0.0, 0.2, 0.7, 1.0]), 0, generator=torch.Generator().manual_seed(0))
    assert torch.equal(x_t[~masked], x[~masked]) and bool((x_t[masked] == 0).all())
    assert masked.float().mean(1).tolist() == pytest.approx([0, 0.2, 0.7, 1], abs=0.03)


def test_masked_loss_of_a_uniform_model_is_the_entropy():
    x = torch.randint(1, 5, (64, 200))
    loss = masked_loss(lambda x_t: torch.zeros(*x_t.shape, 5), x, 0, generator=torch.Generator().manual_seed(0))
    assert float(loss) == pytest.approx(float(torch.tensor(5.0).log()), rel=0.1)


@pytest.mark.parametrize("confidence", ["probability", "entropy", "margin"])
@pytest.mark.parametrize("k", [1, 3])
def test_decoding_fills_every_mask_once_and_leaves_the_prompt(confidence, k):
    torch.manual_seed(0)
    logits = torch.randn(2, 9, 6)
    x = torch.zeros(2, 9, dtype=torch.long)
    x[:, :2] = 5
    filled, order = masked_decode(lambda x: logits.clone(), x, 0, k=k, confidence=confidence)
    assert bool((filled != 0).all()) and bool((filled[:, :2] == 5).all()) and bool((order[:, :2] == -1).all())
    counts = torch.bincount(order[0, 2:])
    assert counts.sum() == 7 and bool((counts <= k).all())
    assert torch.equal(filled[:, 2:], logits[:, 2:, 1:].argmax(-1) + 1)
