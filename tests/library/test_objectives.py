"""minilib.objectives: round trips, exact counts, no leaks."""

import math

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from minilib.objectives import mlm_batch, prefix_split, shift_right, span_corrupt, token_loss
from minilib.transformer import Decoder

few = settings(max_examples=40, deadline=None)
SENTINELS, EOS = list(range(900, 1000)), 1000


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# ------------------------------------------------------------------------------------------------------------------ prefix models


@few
@given(B=st.integers(1, 3), T=st.integers(1, 6))
def test_shifting_puts_bos_in_front_and_drops_the_last(B, T):
    y = torch.arange(1, B * T + 1).view(B, T)
    u = shift_right(y, bos=77)
    assert u[:, 0].tolist() == [77] * B and torch.equal(u[:, 1:], y[:, :-1])


@few
@given(T=st.integers(2, 9), data=st.data())
def test_the_books_of_a_prefix_model(T, data):
    s = data.draw(st.integers(1, T - 1))
    y = torch.randint(1, 50, (2, T), generator=generator(T))
    u, weights, P = prefix_split(y, s)
    assert torch.equal(u, shift_right(y)) and s + 1 == P
    assert weights.tolist() == [[float(t >= s) for t in range(T)]] * 2
    assert u[:, 1:P].tolist() == y[:, :s].tolist()  # the given tokens stand among the P positions, and no other does


@pytest.mark.parametrize("s", [0, 5, -1])
def test_a_split_outside_the_text_is_refused(s):
    with pytest.raises(ValueError, match="between 1 and T − 1 = 4"):
        prefix_split(torch.ones(1, 5, dtype=torch.long), s)


@settings(max_examples=10, deadline=None)
@given(T=st.integers(2, 7), data=st.data())
def test_no_wanted_token_reaches_the_output_that_predicts_it(T, data):
    s = data.draw(st.integers(1, T - 1))
    torch.manual_seed(0)
    model = Decoder(11, 8, 2, 2, 12).eval()
    y = torch.randint(11, (1, T), generator=generator(s))
    u, _, P = prefix_split(y, s)
    before = model(u, prefix=P)
    for t in range(T):
        changed = y.clone()
        changed[:, t] = (changed[:, t] + 1) % 11
        moved = (model(prefix_split(changed, s)[0], prefix=P) - before).abs().amax((0, 2)) > 1e-6
        if t >= s:
            assert not moved[: t + 1].any()
        else:
            assert moved[s:].all()  # what is given is seen by every output that carries loss


@few
@given(B=st.integers(1, 3), T=st.integers(1, 5), seed=st.integers(0, 99))
def test_the_loss_is_a_weighted_mean(B, T, seed):
    logits, y = torch.randn(B, T, 7, generator=generator(seed)), torch.randint(7, (B, T), generator=generator(seed))
    nll = torch.stack([-logits[b, t].log_softmax(-1)[y[b, t]] for b in range(B) for t in range(T)]).view(B, T)
    torch.testing.assert_close(token_loss(logits, y), nll.mean())
    weights = torch.rand(B, T, generator=generator(seed)) + 0.1
    torch.testing.assert_close(token_loss(logits, y, weights), (nll * weights).sum() / weights.sum())
    torch.testing.assert_close(token_loss(torch.zeros(B, T, 7), y), torch.tensor(math.log(7)))


# -------------------------------------------------------------------------------------------------------------- span corruption


def restored(inputs: list[int], targets: list[int]) -> list[int]:
    """The text before corruption: each sentinel of the inputs replaced by the span behind it in the targets."""
    spans: dict[int, list[int]] = {}
    for token in targets:
        if token in SENTINELS or token == EOS:
            current = spans.setdefault(token, [])
        else:
            current.append(token)
    return [x for token in inputs[:-1] for x in (spans[token] if token in SENTINELS else [token])]


@few
@given(L=st.integers(2, 200), rate=st.sampled_from([0.05, 0.15, 0.5]), span=st.sampled_from([1.0, 3.0, 8.0]), seed=st.integers(0, 99))
def test_putting_the_spans_back_restores_the_text_and_the_counts_are_exact(L, rate, span, seed):
    text = torch.randint(900, (L,), generator=generator(seed))
    noise = min(max(round(rate * L), 1), L - 1)
    spans = min(max(1, round(noise / span)), noise, L - noise)
    assume(spans <= len(SENTINELS))
    inputs, targets = span_corrupt(text, generator(seed), sentinels=SENTINELS, eos=EOS, rate=rate, span=span)
    assert restored(inputs.tolist(), targets.tolist()) == text.tolist()
    assert (len(inputs), len(targets)) == (L - noise + spans + 1, noise + spans + 1)
    assert int(inputs[-1]) == int(targets[-1]) == EOS
    used = [token for token in inputs.tolist() if token in SENTINELS]
    assert used == SENTINELS[:spans] == [token for token in targets.tolist() if token in SENTINELS]
    assert int(inputs[0]) < 900 and int(targets[0]) == SENTINELS[0]  # begins with a kept piece
    assert not any(a in SENTINELS and b in SENTINELS for a, b in zip(inputs.tolist(), inputs.tolist()[1:], strict=False))


def test_the_papers_lengths_and_its_generator():
    text = torch.arange(568)
    inputs, targets = span_corrupt(text, generator(0), sentinels=SENTINELS, eos=EOS)
    assert (len(inputs), len(targets)) == (512, 114)
    again, other = (span_corrupt(text, generator(seed), sentinels=SENTINELS, eos=EOS)[0] for seed in (0, 1))
    assert torch.equal(again, inputs) and not torch.equal(other, inputs)


def test_spans_are_spread_evenly():
    """The first span is as often in any place as the uniform split says: its kept piece is 1 … 7 long with mean 4 for 8 kept, 2 spans."""
    g, lengths = generator(0), []
    for _ in range(2000):
        inputs, _ = span_corrupt(torch.arange(10), g, sentinels=SENTINELS, eos=EOS, rate=0.2, span=1.0)
        lengths.append(inputs.tolist().index(SENTINELS[0]))
    shares = torch.tensor(lengths).bincount(minlength=8)[1:] / 2000
    torch.testing.assert_close(shares, torch.full((7,), 1 / 7), atol=0.03, rtol=0)


def test_what_cannot_be_corrupted_is_refused():
    with pytest.raises(ValueError, match="at least two tokens"):
        span_corrupt(torch.tensor([3]), generator(0), sentinels=SENTINELS, eos=EOS)
    with pytest.raises(ValueError, match="as many sentinels, got 1"):
        span_corrupt(torch.arange(100), generator(0), sentinels=[900], eos=EOS)


# ------------------------------------------------------------------------------------------------------------------------- BERT


def test_of_the_chosen_eighty_percent_are_masked_ten_random_ten_kept():
    y = torch.randint(24, 100, (200, 100), generator=generator(0))
    inputs, chosen = mlm_batch(y, generator(1), mask=1, low=24, high=100)
    assert torch.equal(inputs[~chosen], y[~chosen])
    share = lambda x: float(x.float().mean())  # noqa: E731
    assert share(chosen) == pytest.approx(0.15, abs=0.01)
    assert share(inputs[chosen] == 1) == pytest.approx(0.8, abs=0.02)
    assert share(inputs[chosen] == y[chosen]) == pytest.approx(0.1 + 0.1 / 76, abs=0.02)
    drawn = inputs[chosen & (inputs != 1) & (inputs != y)]
    assert int(drawn.min()) >= 24 and int(drawn.max()) < 100


@few
@given(B=st.integers(1, 5), T=st.integers(1, 4), seed=st.integers(0, 99))
def test_every_row_has_a_token_with_loss(B, T, seed):
    y = torch.full((B, T), 30)
    assert mlm_batch(y, generator(seed), mask=1, low=24, high=100, rate=0.05)[1].any(dim=1).all()
