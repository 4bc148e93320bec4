"""minilib.check: facts that hold pass in one line; facts that fail say what differs, by how much and where; guesses are kept."""

import math
import sqlite3

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from minilib.check import assert_close, assert_shape, breaks, check, lesson_name, predict


def said(*args, **kwargs) -> str:
    """The sentence with which a failing check stops."""
    with pytest.raises(AssertionError) as caught:
        check("the fact", *args, **kwargs)
    return str(caught.value)


# ------------------------------------------------------------------------------------------------------------------------ check


def test_a_fact_that_holds_is_one_line_with_its_tolerance(capsys):
    check("a sum", torch.tensor(2.0), 2.0)
    check("a wide one", 1.0, 1.05, atol=0.1)
    check("tokens", [1, 2], [1, 2])
    check("a condition", torch.tensor([True, True]))
    check("a bound", 0.5, at_least=0.1, at_most=1)
    assert capsys.readouterr().out.splitlines() == [
        "✓ a sum (within 1e-06)",
        "✓ a wide one (within 1e-01)",
        "✓ tokens",
        "✓ a condition",
        "✓ a bound (at least 0.1 and at most 1)",
    ]


def test_a_difference_is_told_with_its_size_and_its_place():
    want = torch.arange(6.0).reshape(2, 3)
    got = want.clone()
    got[1, 2] = 7.5
    assert said(got, want) == "✗ the fact: the largest difference is 2.50e+00, allowed 1e-06; got 7.5 where 5 is expected, at [1, 2]"


def test_integers_must_be_equal_and_the_failing_entries_are_counted():
    assert said(torch.tensor([1, 2, 3]), torch.tensor([1, 0, 0]), atol=10) == (
        "✗ the fact: 2 of 3 entries differ, got 3 where 0 is expected, at [2]"
    )


def test_shapes_do_not_broadcast_into_agreement():
    assert "the shape is (3, 1), expected (3,)" in said(torch.ones(3, 1), torch.ones(3))
    check("one number may stand for a whole tensor", torch.ones(3, 1), 1.0)


def test_nan_never_agrees_with_a_number():
    got = torch.tensor([0.0, math.nan, math.nan])
    assert "2 of 3 entries are NaN" in said(got, torch.zeros(3))
    assert "2 of 3 entries are NaN" in said(got, torch.zeros(3), atol=math.inf)
    assert "nan is expected, at [0]" in said(torch.zeros(1), torch.tensor([math.nan]))
    assert "nan is more than 1" in said(math.nan, at_most=1)
    assert "nan is less than 1" in said(math.nan, at_least=1)


def test_infinities_agree_with_themselves_only():
    inf = torch.tensor([math.inf, -math.inf])
    check("masked scores", inf, inf.clone())
    assert "got inf where -inf is expected, at [0]" in said(inf, -inf)
    assert "got inf where 1 is expected" in said(inf, torch.ones(2), atol=1e6)
    assert "got 5 where -inf is expected" in said(torch.tensor(5.0), torch.tensor(-math.inf), rtol=1e-5)


def test_a_condition_counts_the_places_where_it_is_false():
    assert said(torch.tensor([True, False, False])) == "✗ the fact: it is false in 2 of 3 places"
    assert said(1 > 2) == "✗ the fact: it is false"


def test_a_condition_over_nothing_is_no_fact():
    assert "there is nothing to check" in said(torch.ones(0) > 0)


def test_a_function_without_return_is_recognised():
    assert "does the function return it?" in said(None, torch.zeros(2))
    assert "does the function return it?" in said(None)


def test_other_things_are_compared_by_equality_and_shown_short():
    assert said("ab", "ac") == "✗ the fact: got 'ab', expected 'ac'"
    assert len(said("a" * 10_000, "b")) < 150


def test_arrays_lists_gradients_and_half_precision_are_numbers_too(capsys):
    check("NumPy", np.ones(3), torch.ones(3))
    check("a list", [1.0, 1.0], torch.ones(2))
    check("a parameter", torch.nn.Parameter(torch.ones(2)), torch.ones(2))
    check("bfloat16", torch.ones(2, dtype=torch.bfloat16), torch.ones(2, dtype=torch.float64))
    check("complex", torch.tensor([1 + 1j]), torch.tensor([1 + 1j]))
    assert "got 1+1j where 1-1j is expected" in said(torch.tensor([1 + 1j]), torch.tensor([1 - 1j]))


numbers = st.floats(-1e6, 1e6)


@given(got=numbers, want=numbers, atol=st.floats(0, 1e3), rtol=st.floats(0, 1))
def test_it_passes_exactly_when_the_difference_is_within_the_tolerance(got, want, atol, rtol):
    close = abs(got - want) <= atol + rtol * abs(want)
    try:
        check("close", torch.tensor(got, dtype=torch.float64), torch.tensor(want, dtype=torch.float64), atol=atol, rtol=rtol)
    except AssertionError:
        assert not close
    else:
        assert close


@given(shape=st.lists(st.integers(1, 4), max_size=3), data=st.data())
def test_the_place_it_names_is_where_the_difference_is(shape, data):
    place = [data.draw(st.integers(0, n - 1)) for n in shape]
    got = torch.zeros(shape)
    got[tuple(place)] = 1
    sentence = said(got, torch.zeros(shape))
    assert sentence.endswith(f", at {place}" if shape else "is expected")


# ---------------------------------------------------------------------------------------------------- break it, exercise tests


def test_breaks_shows_the_check_that_stopped_the_change(capsys):
    with breaks("without the factor"):
        check("equals the loop", 2.0, 1.0)
    assert capsys.readouterr().out.startswith("without the factor\n  stopped by ✗ equals the loop: the largest difference is 1.00e+00")


def test_breaks_fails_where_nothing_guards_against_the_change():
    with pytest.raises(AssertionError, match="no check stopped this change"), breaks("harmless"):
        pass


def test_breaks_lets_other_errors_through():
    with pytest.raises(ZeroDivisionError), breaks("a crash is not a check"):
        _ = 1 / 0


def test_assert_close_says_the_authors_sentence_and_then_the_difference():
    with pytest.raises(AssertionError, match=r"^Divide by n\. \(the largest difference is 1\.00e\+00.*at \[1\]\)$"):
        assert_close(torch.tensor([1.0, 3.0]), torch.tensor([1.0, 2.0]), "Divide by n.")
    assert_close(torch.tensor([1.0, 3.0]), torch.tensor([1.0, 3.0]), "Divide by n.")


@pytest.mark.parametrize(
    ("got", "sentence"),
    [
        (None, "None: does the function return its result?"),
        ([1, 2], "should be a tensor of shape (2,), it is a list"),
        (torch.ones(1, 2), "should have shape (2,), it has (1, 2)"),
    ],
)
def test_assert_shape_says_what_came_instead(got, sentence):
    with pytest.raises(AssertionError) as caught:
        assert_shape(got, (2,))
    assert sentence in str(caught.value)
    assert_shape(torch.ones(2), [2])


# ------------------------------------------------------------------------------------------------------------------ predictions


@pytest.fixture
def reader(monkeypatch, tmp_path):
    """A reader at the notebook, with a data folder that does not exist yet; returns (folder, what was displayed)."""
    shown = []
    monkeypatch.setenv("COURSE_HEADLESS", "0")
    monkeypatch.setenv("COURSE_LESSON", "99_example")
    monkeypatch.setenv("COURSE_DATA", str(tmp_path / "new" / "folder"))
    monkeypatch.setattr("IPython.display.display", shown.append)
    return tmp_path / "new" / "folder", shown


def kept(folder):
    db = sqlite3.connect(folder / "progress.sqlite")
    rows = db.execute("SELECT lesson, name, guess, truth, hit FROM predictions").fetchall()
    db.close()
    return rows


def test_a_range_is_asked_shown_beside_the_result_and_kept(reader, capsys):
    folder, shown = reader
    guess = predict("entries", 0, 484)
    shown[0].children[1].value = (10, 40)
    guess.reveal(42)
    assert capsys.readouterr().out == "entries: 42. You said 10 to 40: not this time.\n"
    assert kept(folder) == [("99_example", "entries", "10 to 40", "42", 0)]


def test_a_choice_is_asked_shown_beside_the_result_and_kept(reader, capsys):
    folder, shown = reader
    guess = predict("which mask", choices=["causal", "prefix"])
    assert shown[0].children[1].value is None, "nothing is chosen for the reader"
    shown[0].children[1].value = "prefix"
    guess.reveal("prefix")
    assert capsys.readouterr().out == "which mask: prefix. You said prefix: right.\n"
    assert kept(folder) == [("99_example", "which mask", "prefix", "prefix", 1)]


def test_without_a_guess_the_result_is_shown_and_nothing_is_kept(reader, capsys):
    folder, _ = reader
    predict("loss", 0.0, 1.0).reveal(0.25)
    assert capsys.readouterr().out == "loss: 0.25\n"
    assert not folder.exists()


def test_a_folder_that_cannot_be_written_never_stops_a_lesson(reader, monkeypatch, tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("COURSE_DATA", str(tmp_path / "file" / "below"))
    guess = predict("loss", 0.0, 1.0)
    reader[1][0].children[1].value = (0.2, 0.3)
    guess.reveal(0.25)
    out = capsys.readouterr().out
    assert "You said 0.2 to 0.3: right." in out and "your guess could not be kept" in out


def test_a_database_that_is_broken_never_stops_a_lesson(reader, capsys):
    folder, shown = reader
    folder.mkdir(parents=True)
    (folder / "progress.sqlite").write_bytes(b"not a database" * 100)
    guess = predict("loss", 0.0, 1.0)
    shown[0].children[1].value = (0.2, 0.3)
    guess.reveal(0.25)
    assert "your guess could not be kept" in capsys.readouterr().out


def test_looking_at_the_result_twice_keeps_one_guess(reader):
    folder, shown = reader
    guess = predict("loss", 0.0, 1.0)
    shown[0].children[1].value = (0.2, 0.3)
    guess.reveal(0.25)
    guess.reveal(0.25)
    assert len(kept(folder)) == 1


def test_headless_asks_nothing_and_keeps_nothing(reader, monkeypatch, capsys):
    folder, shown = reader
    monkeypatch.setenv("COURSE_HEADLESS", "1")
    predict("which", choices=["a", "b"]).reveal("a")
    assert shown == [] and not folder.exists() and capsys.readouterr().out == "which: a\n"


def test_predict_needs_a_range_or_choices():
    for wrong in ({}, {"low": 0}, {"low": 0, "high": 1, "choices": ["a"]}):
        with pytest.raises(ValueError, match="either low= and high=, or choices="):
            predict("what", **wrong)


def test_the_lesson_is_named_by_its_notebook(monkeypatch):
    monkeypatch.delenv("COURSE_LESSON", raising=False)
    monkeypatch.setenv("JPY_SESSION_NAME", "/home/reader/work/03_state_spaces/13_mamba.ipynb")
    assert lesson_name() == "13_mamba"
    monkeypatch.setenv("COURSE_LESSON", "35_icl_gradient_descent")
    assert lesson_name() == "35_icl_gradient_descent"


def test_a_class_of_tensors_cannot_decide_how_it_compares():
    class Agrees(torch.Tensor):
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            if func is torch.Tensor.__eq__:
                return torch.ones(3, dtype=torch.bool)
            return super().__torch_function__(func, types, args, kwargs or {})

    lie = torch.zeros(3).as_subclass(Agrees)
    assert bool((lie == torch.ones(3)).all())
    with pytest.raises(AssertionError, match="largest difference is 1.00e"):
        check("zeros are ones", lie, torch.ones(3))
