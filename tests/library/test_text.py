"""minilib.data.text: the words of Python's manual, in two parts that share nothing."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minilib.data.characters import pydoc_characters
from minilib.data.text import PATTERN, SPECIALS, Text, pydoc_text

few = settings(max_examples=30, deadline=None)


@pytest.fixture(scope="module")
def text() -> Text:
    return pydoc_text(512)


def runs_of(lengths: list[int]) -> Text:
    """A text whose tokens are their own places, with a gap of 1,000 between runs, so that a window that crosses is seen."""
    runs, at = [], 0
    for n in lengths:
        runs.append(torch.arange(at, at + n))
        at += n + 1000
    return Text([str(i) for i in range(10)], train=runs, heldout=runs)


def test_the_vocabulary_has_specials_first_and_the_unknown_last(text):
    assert len(text.vocabulary) == len(set(text.vocabulary)) == 512
    assert text.vocabulary[0] == "<s>" and text.vocabulary[SPECIALS - 1] == f"<{SPECIALS - 1}>"
    assert text.vocabulary[text.unknown] == "<unk>"
    assert text.encode("zygomorphic") == [text.unknown]


def test_the_parts_share_no_block_and_hold_all_of_the_text(text):
    from pydoc_data.topics import topics

    words = PATTERN.findall("\n\n".join(topics[key] for key in sorted(topics)))
    joined = []
    for i in range(max(len(text.heldout), len(text.train))):
        joined += [part[i] for part in (text.heldout, text.train) if i < len(part)]
    assert torch.cat(joined).tolist() == [id for word in words for id in text.encode(word)]
    assert len(torch.cat(text.heldout)) / len(words) == pytest.approx(0.1, abs=0.01)


def test_eighty_seven_percent_of_the_words_are_known(text):
    tokens = torch.cat([*text.train, *text.heldout])
    assert float((tokens != text.unknown).float().mean()) == pytest.approx(0.87, abs=0.02)
    assert int(tokens.min()) >= SPECIALS  # no special token occurs by chance


def test_decoding_gives_a_text_that_encodes_to_the_same_tokens(text):
    for run in text.heldout[:20]:
        known = run[run != text.unknown]
        assert text.encode(text.decode(known)) == known.tolist()
    assert text.decode(text.encode("the name (of an object), is")) == "the name (of an object), is"


@few
@given(
    lengths=st.lists(st.integers(1, 30), min_size=1, max_size=5), T=st.integers(1, 12), stride=st.integers(1, 7), seed=st.integers(0, 99)
)
def test_no_window_crosses_from_one_run_into_the_next(lengths, T, stride, seed):
    text = runs_of(lengths)
    if max(lengths) < T:
        with pytest.raises(ValueError, match=f"no run of the heldout part holds {T} tokens"):
            text.windows(T)
        return
    windows = text.windows(T, stride=stride)
    assert bool((windows.diff(dim=1) == 1).all())
    assert len(windows) == sum((n - T) // stride + 1 for n in lengths if n >= T)
    drawn = text.batch(torch.Generator().manual_seed(seed), 16, T)
    assert drawn.shape == (16, T) and bool((drawn.diff(dim=1) == 1).all())


def test_every_place_is_drawn_equally_often():
    text = runs_of([5, 8])  # windows of 3 begin at 3 + 6 places
    drawn = text.batch(torch.Generator().manual_seed(0), 9000, 3)[:, 0]
    places, counts = drawn.unique(return_counts=True)
    assert places.tolist() == [0, 1, 2, *range(1005, 1011)]
    torch.testing.assert_close(counts / 9000, torch.full((9,), 1 / 9), atol=0.02, rtol=0)


def test_windows_lie_side_by_side_and_a_batch_repeats_with_its_generator(text):
    windows = text.windows(50)
    assert torch.equal(windows[:20].flatten(), text.heldout[0][:1000])
    first, again = (text.batch(torch.Generator().manual_seed(4), 3, 20) for _ in range(2))
    assert torch.equal(first, again)
    assert text.batch(torch.Generator().manual_seed(4), 3, 20, part="heldout").shape == (3, 20)


def test_a_smaller_vocabulary_keeps_the_more_frequent_words():
    small, large = pydoc_text(100), pydoc_text(512)
    assert small.vocabulary[:-1] == large.vocabulary[:99]


def test_characters_in_two_parts_are_the_text_again():
    from pydoc_data.topics import topics

    characters, joined = pydoc_characters(block=3000, every=5), []
    for i in range(len(characters.heldout)):
        joined += [part[i] for part in (characters.heldout, characters.train) if i < len(part)]
    assert "".join(characters.vocabulary[i] for i in torch.cat(joined)) == "\n\n".join(topics[key] for key in sorted(topics))
    assert characters.vocabulary == sorted(set(characters.vocabulary))
    assert {len(run) for run in characters.heldout[:-1]} == {3000} and {len(run) for run in characters.train[:-1]} == {12_000}
