"""Speech: filters, integrate-and-fire against its loop, error rates, the synthesiser and the corpora made with it."""

import dataclasses
import itertools
import random
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck

from minilib.count import parameters
from minilib.data import espeak, speech
from minilib.data.espeak import Espeak
from minilib.data.speech import PARTS, corpus, translate
from minilib.speech import Encoder, batch_frames, cif, ctc_greedy, edit_distance, features, log_mel, mel_bank, wer

# ----------------------------------------------------------------------------------------------------------------------- features


@pytest.mark.parametrize(("n_mels", "n_fft", "sr", "fmax"), [(40, 512, 16_000, 7600.0), (20, 256, 8000, 4000.0), (3, 2048, 22_050, 5000.0)])
def test_mel_filters_are_triangles_that_share_every_frequency(n_mels, n_fft, sr, fmax):
    bank = mel_bank(n_mels, n_fft, sr, fmax=fmax)
    assert bank.shape == (n_mels, n_fft // 2 + 1) and float(bank.min()) >= 0 and float(bank.max()) <= 1
    mel = lambda f: 2595 * torch.log10(1 + torch.as_tensor(f) / 700)  # noqa: E731
    centre = torch.linspace(float(mel(80.0)), float(mel(fmax)), n_mels + 2)[1:-1]
    hz = 700 * (10 ** (centre / 2595) - 1)
    bins = torch.arange(n_fft // 2 + 1) * sr / n_fft
    between = (bins > hz[0]) & (bins < hz[-1])
    torch.testing.assert_close(bank.sum(0)[between], torch.ones(int(between.sum())), atol=1e-4, rtol=0)
    assert bool((bank[:, bins < 80.0] == 0).all()) and bool((bank[:, bins > fmax] == 0).all())
    assert bool(((bank * bins).argmax(1) * sr / n_fft - hz).abs().max() < 2 * (hz.diff().max() + sr / n_fft))


def test_a_band_beyond_half_the_rate_is_refused():
    with pytest.raises(ValueError, match="0 ≤ fmin < fmax ≤ 4000 Hz, got 80 … 7600"):
        mel_bank(40, 256, 8000)


@pytest.mark.parametrize("hertz", [300.0, 1000.0, 4000.0])
def test_a_tone_lights_up_its_own_band(hertz):
    n = 8000
    x = torch.sin(2 * torch.pi * hertz * torch.arange(n) / 16_000)
    frames = log_mel(x)
    assert frames.shape == (1 + n // 160, 40)
    nearest = int(mel_bank(40, 512, 16_000)[:, round(hertz * 512 / 16_000)].argmax())
    assert bool(((frames[5:-5].argmax(1) - nearest).abs() <= 1).all())
    torch.testing.assert_close(features(0.01 * x, 16_000), features(x, 16_000), atol=1e-3, rtol=0)
    assert features(x, 8000).shape == (1 + 2 * n // 160, 40)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=4), st.integers(1, 6))
def test_stacked_frames_are_the_utterances_own(lengths, k):
    mels = [torch.randn(n, 3, generator=torch.Generator().manual_seed(n)) for n in lengths]
    x, frames = batch_frames(mels, k)
    assert frames.tolist() == [n // k for n in lengths] and x.shape == (len(mels), max(frames), 3 * k)
    for row, mel, n in zip(x, mels, frames.tolist(), strict=True):
        assert torch.equal(row[:n].reshape(-1, 3), mel[: n * k]) and float(row[n:].abs().sum()) == 0


# ------------------------------------------------------------------------------------------------------------------------ encoder


def test_padding_changes_nothing_and_the_size_is_the_lessons():
    torch.manual_seed(0)
    model = Encoder(160, 52).eval()
    assert parameters(model) == 209_236
    x, frames = torch.randn(3, 9, 160), torch.tensor([9, 4, 1])
    together = model(x, frames)
    for row, out, n in zip(x, together, frames.tolist(), strict=True):
        torch.testing.assert_close(model(row[None, :n], torch.tensor([n]))[0], out[:n], atol=1e-5, rtol=1e-5)
    assert model.head(together).shape == (3, 9, 52)
    assert not torch.allclose(model(x.flip(1), frames[:1].expand(3))[0], together[0].flip(0), atol=1e-2), "frames know their place"


# ------------------------------------------------------------------------------------------------------------------------- tokens


def fire(h, alpha):
    """Integrate-and-fire as it is defined, frame by frame; a frame with α > 1 may fire more than once."""
    total, inside, fired = 0.0, torch.zeros_like(h[0]), []
    for state, a in zip(h, alpha.tolist(), strict=True):
        while total + a >= 1:
            rest = 1 - total
            fired.append(inside + rest * state)
            total, inside, a = 0.0, torch.zeros_like(h[0]), a - rest
        total, inside = total + a, inside + a * state
    return fired


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 12), st.sampled_from([0.3, 0.9, 2.5]), st.integers(0, 99))
def test_integrate_and_fire_in_closed_form_equals_its_loop(T, scale, seed):
    g = torch.Generator().manual_seed(seed)
    h, alpha = torch.randn(1, T, 3, generator=g).double(), scale * torch.rand(1, T, generator=g).double()
    want = fire(h[0], alpha[0])
    E, W = cif(h, alpha, len(want) + 1)
    for u, token in enumerate(want):
        torch.testing.assert_close(E[0, u], token, atol=1e-9, rtol=0)
        assert float(W[0, u].sum()) == pytest.approx(1)
        used = W[0, u].nonzero().flatten()
        assert used.tolist() == list(range(int(used[0]), int(used[-1]) + 1)), "a token is an interval of frames"
    torch.testing.assert_close(W.sum((1, 2)), alpha.sum(1))


def test_integrate_and_fire_scaled_to_the_length_gives_every_token_weight_one():
    alpha = torch.rand(4, 20).double()
    U = torch.tensor([1, 3, 7, 12])
    _, W = cif(torch.randn(4, 20, 2).double(), alpha * (U / alpha.sum(1))[:, None], 12)
    real = torch.arange(12) < U[:, None]
    torch.testing.assert_close(W.sum(2)[real], torch.ones(int(real.sum())).double())
    assert float(W.sum(2)[~real].abs().max()) < 1e-9


def test_integrate_and_fire_has_exact_gradients_and_refuses_negative_weights():
    h, alpha = torch.randn(2, 5, 3).double().requires_grad_(), torch.rand(2, 5).double().requires_grad_()
    assert gradcheck(lambda h, a: cif(h, a, 3)[0], (h, alpha))
    with pytest.raises(ValueError, match="alpha must not be negative, its smallest entry is -0.5"):
        cif(torch.zeros(1, 2, 1), torch.tensor([[0.3, -0.5]]), 1)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 3), max_size=8), st.integers(0, 3))
def test_greedy_ctc_merges_then_drops(path, extra):
    logits = torch.nn.functional.one_hot(torch.tensor([[*path, *[1] * extra]]), 4).float() if path or extra else torch.zeros(1, 0, 4)
    want = [label for label, _ in itertools.groupby(path) if label != 0]
    assert ctc_greedy(logits, torch.tensor([len(path)])) == [want]


words = st.lists(st.sampled_from("abc"), max_size=6)


@settings(max_examples=60, deadline=None)
@given(words, words, words)
def test_edit_distance_is_a_metric_and_counts_single_edits(a, b, c):
    def slow(x, y):
        if not x or not y:
            return len(x) + len(y)
        return min(slow(x[1:], y[1:]) + (x[0] != y[0]), slow(x[1:], y) + 1, slow(x, y[1:]) + 1)

    assert edit_distance(a, b) == edit_distance(b, a) == slow(a, b)
    assert edit_distance(a, c) <= edit_distance(a, b) + edit_distance(b, c) and edit_distance(a, a) == 0


def test_error_rate_is_over_all_words():
    assert wer([["a"], ["b", "c"]], [["a"], ["b", "d", "e"]]) == pytest.approx(2 / 4)
    assert wer([["a", "b", "c"]], [["a"]]) == 2
    with pytest.raises(ValueError, match="1 transcripts for 2 utterances"):
        wer([[]], [["a"], ["b"]])


# -------------------------------------------------------------------------------------------------------------------- synthesiser


@pytest.fixture(scope="module")
def speaker():
    return Espeak()


def test_words_are_spoken_one_after_the_other(speaker):
    spoken = speaker.say("set the kitchen light to ninety percent")
    assert spoken.rate == 22_050 and len(spoken.onsets) == 7
    assert spoken.onsets[0] == 0 and all(a < b for a, b in itertools.pairwise((*spoken.onsets, spoken.end)))
    assert spoken.end <= len(spoken.samples) / spoken.rate < 4 and 0.05 < float(spoken.samples.abs().max()) <= 1
    for a, b in itertools.pairwise((*spoken.onsets, spoken.end)):
        assert float(spoken.samples[int(a * 22_050) : int(b * 22_050)].abs().max()) > 0.02, "there is sound in every word"


def test_speed_pitch_and_voice_are_heard(speaker):
    seconds = {wpm: speaker.say("one nine four seven", wpm=wpm).end for wpm in (120, 175, 260)}
    assert seconds[120] > 1.3 * seconds[175] > 1.5 * seconds[260]

    def pitch(spoken):
        x = spoken.samples - spoken.samples.mean()
        spectrum = torch.fft.rfft(x, 2 * len(x)).abs() ** 2
        lag = torch.fft.irfft(spectrum)[: len(x)]
        return 22_050 / (100 + int(lag[100:300].argmax()))  # 74 … 220 Hz

    assert pitch(speaker.say("mama", pitch=80)) > 1.2 * pitch(speaker.say("mama", pitch=20))
    means = [features(speaker.say("seven nine", f"en-us+{v}").samples, 22_050).mean(0) for v in ("m1", "m3", "f2", "f5", "klatt2")]
    assert min(float((a - b).abs().mean()) for a, b in itertools.combinations(means, 2)) > 0.1
    assert speaker.say("drei rote Häuser", "de").end != speaker.say("drei rote Häuser", "en-us").end


@pytest.mark.parametrize("voice", ["zz", "en-us+nobody", "fr-fr"])
def test_an_unknown_voice_is_refused(speaker, voice):
    with pytest.raises(ValueError, match="eSpeak NG has no voice"):
        speaker.say("one", voice)


def test_silence_is_refused(speaker):
    with pytest.raises(ValueError, match="there is nothing to say"):
        speaker.say("")


def test_without_the_library_a_sentence_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    monkeypatch.setattr(espeak, "find_library", lambda name: None)
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path))
    for call in (Espeak, lambda: corpus("commands", split="test")):
        with pytest.raises(ImportError, match="pip install espeakng-loader, or install espeak-ng"):
            call()


# ------------------------------------------------------------------------------------------------------------------------- corpus


@pytest.fixture(scope="module")
def few():
    """Some utterances of every part, made in this process."""
    small = lambda part: dataclasses.replace(part, sizes=(40 // len(part.languages), 8 // len(part.languages)))  # noqa: E731
    return {name: list(speech._synthesise(small(part))) for name, part in PARTS.items()}


@pytest.mark.parametrize("part", PARTS)
def test_utterances_are_sound_with_times_that_fit(few, part):
    for u in few[part]:
        assert len(u.words) == len(u.onsets) == len(u.ends) and u.mel.shape[1] == 40
        assert 0.03 <= u.onsets[0] <= 0.15 and u.onsets[1:] == u.ends[:-1] and all(a < b for a, b in zip(u.onsets, u.ends, strict=True))
        assert u.ends[-1] < len(u.mel) / 100 < u.ends[-1] + 0.4 and len(u.mel) < 330
        assert not bool(u.mel.isnan().any())
        # with the silence left out, speech is louder than the pauses around it
        speaking = u.mel[int(100 * u.onsets[0]) : int(100 * u.ends[-1])].mean()
        assert float(speaking - torch.cat([u.mel[:3], u.mel[-3:]]).mean()) > 0.2
    values = torch.cat([u.mel for u in few[part]])
    assert abs(float(values.mean())) < 0.3 and 0.8 < float(values.std()) < 1.3


@pytest.mark.parametrize("part", PARTS)
def test_voices_of_the_test_part_are_never_heard_in_training(few, part):
    train, test = (set(variants.split()) for variants in PARTS[part].voices)
    assert not train & test and len(train) >= 8 and len(test) >= 4
    heard = {u.voice.partition("+")[2] or "plain" for u in few[part][:40]}, {u.voice.partition("+")[2] or "plain" for u in few[part][40:]}
    assert heard[0] <= train and heard[1] <= test


def test_units_belong_to_devices_and_confusable_words_end_differently():
    rng = random.Random(0)
    commands = [speech._command(rng, "en") for _ in range(3000)]
    assert {(c[3], c[-1]) for c in commands} == set(speech.UNITS.items())
    assert len({w for c in commands for w in c}) == 51 and {len(c) for c in commands} == {7, 8}
    assert len({tuple(c[5:-1]) for c in commands}) == 98, "all numbers from 2 to 99"
    confusable = [speech._confusable(rng, "en") for _ in range(1000)]
    assert {w for c in confusable for w in c} == {*speech.ENDINGS, "zero", "one", "two"}


def test_translating_there_and_back_is_the_identity_and_nouns_change_place():
    assert translate(("three", "red", "houses"), "en", "es") == ("tres", "casas", "rojas")
    assert translate(("three", "red", "houses"), "en", "de") == ("drei", "rote", "Häuser")
    rng = random.Random(0)
    for lang, to in itertools.product(speech.MEANINGS, repeat=2):
        for _ in range(20):
            words = tuple(speech._phrase(rng, lang))
            assert translate(translate(words, lang, to), to, lang) == words


@pytest.fixture
def small(monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path))
    monkeypatch.setitem(PARTS, "phrases", dataclasses.replace(PARTS["phrases"], sizes=(2, 1)))
    return tmp_path


def same(a, b):
    plain = lambda u: (u.words, u.onsets, u.ends, u.voice, u.lang)  # noqa: E731
    return len(a) == len(b) and all(torch.equal(x.mel, y.mel) and plain(x) == plain(y) for x, y in zip(a, b, strict=True))


def test_a_corpus_is_made_once_and_again_with_the_same_bits_when_its_file_is_damaged(small):
    (small / "speech-phrases-older.npz").touch()
    made = corpus("phrases", split="train"), corpus("phrases", split="test")
    assert [len(part) for part in made] == [8, 4] and [u.lang for u in made[1]] == ["en", "de", "fr", "es"]
    (file,) = small.iterdir()
    before = file.stat().st_mtime_ns
    assert same(made[0], corpus("phrases", split="train")) and file.stat().st_mtime_ns == before
    file.write_bytes(file.read_bytes()[:5000])
    assert same(made[0], corpus("phrases", split="train")) and same(made[1], corpus("phrases", split="test"))
    assert list(small.iterdir()) == [file], "nothing half-written is left"


def test_failures_are_sentences(small):
    with pytest.raises(ValueError, match="there is no 'dev' split of a part 'phrases'; parts are commands, phrases, confusable"):
        corpus("phrases", split="dev")
    with pytest.raises(RuntimeError, match="the spoken phrases could not be made: FileNotFoundError"):
        speech._make("phrases", small / "nowhere" / "speech.npz")
