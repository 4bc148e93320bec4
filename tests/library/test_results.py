"""Tables of results: what is shown, what is stored, and what a sibling lesson reads back."""

import json

import pytest

from minilib import results
from minilib.results import MIME, stored, table

ROWS = {"naive": {"MSE": 0.157}, "model": {"MSE": [0.1, 0.2], "parameters": 101_720}}


@pytest.fixture
def sibling(tmp_path, monkeypatch):
    """A course in which lesson 17 holds the rows."""
    monkeypatch.setattr(results, "CHAPTERS", tmp_path)
    (tmp_path / "04").mkdir()
    cells = [{"cell_type": "markdown"}, {"outputs": [{"name": "stdout"}, {"data": table(ROWS)._repr_mimebundle_()}]}, {"outputs": []}]
    (tmp_path / "04" / "17_a.ipynb").write_text(json.dumps({"cells": cells}))
    (tmp_path / "04" / "18_b.ipynb").write_text(json.dumps({"cells": cells[:1]}))


def test_a_seed_each_is_shown_as_mean_and_range():
    lines = repr(table(ROWS)).splitlines()
    assert len(lines) == 3 and lines[0].split() == ["MSE", "parameters"]
    assert lines[1].split() == ["naive", "0.1570"]
    assert lines[2].split() == ["model", "0.1500", "(0.1000", "…", "0.2000)", "101,720"]


def test_stored_rows_come_back(sibling):
    assert stored("17_a") == {"naive": {"MSE": [0.157]}, "model": {"MSE": [0.1, 0.2], "parameters": [101_720]}}


def test_rows_of_a_sibling_stand_below_and_shared_rows_once(sibling, monkeypatch):
    monkeypatch.setenv("COURSE_LESSON", "19_c")
    both = table({"naive": {"MSE": 0.157}, "other": {"MSE": 0.3}}, also=["17_a"])
    names = [line.split()[0] for line in repr(both).splitlines()[1:]]
    assert names == ["19_c", "naive", "other", "17_a", "model"]
    assert [name for name, _ in both._repr_mimebundle_()[MIME]] == ["naive", "other"]  # a lesson stores its own rows only


def test_names_are_escaped():
    assert "<b>" not in table({"<b>": {"MSE": 1}})._repr_mimebundle_()["text/html"]


def test_what_is_missing_is_said(sibling):
    with pytest.raises(ValueError, match="no lesson '99_z'"):
        stored("99_z")
    with pytest.raises(ValueError, match="18_b holds no table of results"):
        stored("18_b")
