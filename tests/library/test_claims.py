"""minilib.claims: a rule in words and in code, five verdicts, a table for people, JSON for the collection, plain text for the tests."""

import json
import math

import pytest

from minilib.claims import MIME, VERDICTS, Stat, declare, verdicts

KEYS = {"lesson", "id", "claim", "paper", "measured", "verdict", "rule", "stable"}


def claim(**changes):
    return declare(
        "C1",
        "It helps",
        **{
            "paper": "by half (Table 1)",
            "rule": "ratio below 0.6 on every seed; partly below 1; contradicted above 1.2",
            "reproduced": lambda m: m.ratio.max < 0.6,
            "partly": lambda m: m.ratio.mean < 1,
            "contradicted": lambda m: m.ratio.min > 1.2,
        }
        | changes,
    )


@pytest.mark.parametrize(
    ("ratio", "verdict"),
    [
        ([0.5, 0.55, 0.59], "reproduced"),
        ([0.5, 0.55, 0.61], "partly"),
        ([0.9, 1.1, 1.3], "not at this scale"),
        ([1.3, 1.4, 1.5], "contradicted"),
        (0.5, "reproduced"),
    ],
)
def test_the_rule_in_code_gives_the_verdict(ratio, verdict):
    assert claim().measured(ratio=ratio).verdict == verdict


def test_there_are_five_verdicts_and_not_run_is_never_a_success():
    row = claim().not_run("needs 64 GPUs")
    assert (row.verdict, row.measured) == ("not run", "needs 64 GPUs")
    assert VERDICTS == ("reproduced", "partly", "not at this scale", "contradicted", "not run")
    assert declare("C2", "Only with data", paper="", rule="").measured(x=1).verdict == "not at this scale"


@pytest.mark.parametrize(
    "bare",
    [lambda s: s < 1, lambda s: s <= 1, lambda s: s > 1, lambda s: s >= 1, lambda s: s > 1, lambda s: s == 1, lambda s: s != 1, bool],
)
def test_comparing_the_bare_spread_is_an_error_that_names_the_statistics(bare):
    with pytest.raises(TypeError, match=r"\.mean, \.min, \.max"):
        claim(reproduced=lambda m: bare(m.ratio)).measured(ratio=[0.1, 0.2])


def test_statistics_of_the_seeds():
    s = Stat([3.0, 1.0, 8.0])
    assert (s.mean, s.min, s.max, s.median) == (4.0, 1.0, 8.0, 3.0)
    assert s.all(lambda v: v > 0) and not s.all(lambda v: v > 1) and s.count(lambda v: v > 1) == 2
    assert str(s) == "4 (1 … 8, 3 seeds)" and str(Stat(0.123456)) == "0.123"
    with pytest.raises(ValueError, match="at least one value"):
        Stat([])


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_measurement_that_failed_gets_no_verdict(bad):
    with pytest.raises(ValueError, match="claim C1: ratio is not a finite number"):
        claim().measured(ratio=[0.5, bad])


def test_an_unstable_claim_says_how_often_it_came_out():
    with pytest.raises(ValueError, match="frequency="):
        claim(stable=False)
    row = claim(stable=False, frequency="reproduced in 3 of 5 runs").measured(ratio=0.5)
    assert row.note == "reproduced in 3 of 5 runs" and not row.stable
    row = claim(stable=False, frequency="reproduced in 3 of 5 runs").measured("Ours is smaller.", ratio=0.5)
    assert "Ours is smaller." in row.note and "reproduced in 3 of 5 runs" in row.note


def bundle(*rows):
    return verdicts(*rows)._repr_mimebundle_()


def test_the_checked_text_holds_stable_verdicts_and_no_figures():
    shaky = claim(stable=False, frequency="3 of 5").measured(ratio=0.512345)
    text = bundle(claim().measured(ratio=0.512345), shaky, claim().not_run("no data"))["text/plain"]
    assert text == "C1 reproduced\nC1 varies with the seed\nC1 not run"


def test_the_json_rows_are_complete_and_serialisable(monkeypatch):
    monkeypatch.setenv("COURSE_LESSON", "17_itransformer")
    rows = json.loads(json.dumps(bundle(claim().measured(ratio=[0.5, 0.7]), claim().not_run("no data"))[MIME]))
    assert all(set(row) == KEYS for row in rows)
    assert rows[0] | {"measured": ""} == {
        "lesson": "17_itransformer",
        "id": "C1",
        "claim": "It helps",
        "paper": "by half (Table 1)",
        "measured": "",
        "verdict": "partly",
        "rule": "ratio below 0.6 on every seed; partly below 1; contradicted above 1.2",
        "stable": True,
    }
    assert "0.6 (0.5 … 0.7, 2 seeds)" in rows[0]["measured"]


def test_the_page_shows_claim_paper_figures_verdict_and_the_rule_on_click():
    html = bundle(claim().measured("Ours is smaller.", ratio=[0.5, 0.7]))["text/html"]
    for part in (
        "It helps",
        "by half (Table 1)",
        "0.6 (0.5 … 0.7, 2 seeds)",
        "partly",
        "Ours is smaller.",
        "<summary>rule</summary>ratio below",
    ):
        assert part in html


def test_what_authors_write_is_escaped():
    nasty = "<script>alert(1)</script> & co"
    row = declare("<C1>", nasty, paper=nasty, rule=nasty, reproduced=lambda m: True).measured(nasty, x=1)
    html = bundle(row)["text/html"]
    assert "<script>" not in html and "<C1>" not in html and html.count("&lt;script&gt;alert(1)&lt;/script&gt; &amp; co") == 4
