"""A rule is worth something only if it can fail: a small lesson that keeps every rule, and one slip against each."""

import dataclasses
from collections.abc import Callable

import nbformat
import pytest
import test_contract as rules
from contract import SYLLABUS
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from course.hashing import code_hash

LESSON = dataclasses.replace(SYLLABUS.find("mamba"), requires=(), introduces=("ssm.selective_scan",))
TITLE = f"""# {LESSON.title}
{LESSON.authors}, {LESSON.year}, https://arxiv.org/abs/{LESSON.arxiv}. {LESSON.minutes} minutes. It matters today.

- one
- two
- three"""
STEP = "def f{n}(x):\n    return x + {n}\n\ncheck('adds {n}', f{n}(0), {n})"


def good() -> dict[str, nbformat.NotebookNode]:
    """The cells of a lesson that keeps the rules, by a name for each."""
    row = {key: "x" for key in ("claim", "paper", "measured", "rule")} | {"lesson": LESSON.slug, "verdict": "reproduced", "stable": True}
    table = new_output(
        "execute_result", {"text/plain": "C1 reproduced", rules.CLAIMS_MIME: [row | {"id": "C1"}, row | {"id": "C2"}]}, execution_count=1
    )
    declare = "{0} = claims.declare('{0}', 'a claim', paper='1', rule='above 1', reproduced=lambda m: m.ratio.min > 1)"
    steps = {}
    for n in range(1, 6):
        steps[f"heading {n}"] = new_markdown_cell(f"### Step {n} · Add {n}")
        steps[f"step {n}"] = new_code_cell(STEP.format(n=n), metadata={"tags": ["blank"]} if n > 3 else {})
    return {
        "title": new_markdown_cell(TITLE),
        "question": new_markdown_cell("## The question"),
        "imports": new_code_cell(
            "from minilib import claims\nfrom minilib.check import breaks, check, predict\nfrom minilib.ssm import selective_scan"
        ),
        "guess": new_code_cell("first = predict('a', low=0, high=1)\nsecond = predict('b', low=0, high=1)"),
        "idea": new_markdown_cell("## The idea"),
        "build": new_markdown_cell("## Build it"),
        **steps,
        "break": new_code_cell("with breaks('adds nothing'):\n    check('adds 1', 0, 1)"),
        "train": new_markdown_cell("## Train it"),
        "claims": new_code_cell(f"{declare.format('C1')}\n{declare.format('C2')}"),
        "fit": new_code_cell("fit(model, batch, loss, steps=1)"),
        "reveal": new_code_cell("first.reveal(0.5)\nsecond.reveal(0.5)"),
        "result": new_markdown_cell("## What the paper claims, what we measured"),
        "verdicts": new_code_cell(
            "claims.verdicts(C1.measured(ratio=2), C2.measured(ratio=2))", outputs=[table], metadata={"tags": ["nbval-check-output"]}
        ),
        "explore": new_markdown_cell("## Explore"),
        "explorer": new_code_cell("explore(draw, ask='where?', notice='there', a=slider(0, 1, label='a'))"),
        "exercises": new_markdown_cell("## Exercises and further reading\n`course start 13`"),
    }


def written(tmp_path, slip: Callable[[dict], object] = lambda cells: None):
    lesson = dataclasses.replace(LESSON, root=tmp_path)
    cells = good()
    code = [cell for cell in cells.values() if cell.cell_type == "code"]
    for count, cell in enumerate(code, 1):
        cell.execution_count = count
    nb = new_notebook(cells=list(cells.values()))
    nb.metadata["course"] = {"code_hash": code_hash(nb), "scale": "laptop"}
    slip(cells)
    nb.cells = list(cells.values())
    lesson.notebook.parent.mkdir(parents=True)
    nbformat.write(nb, lesson.notebook)
    return lesson


def said(text: str):
    return [new_output("stream", name="stdout", text=text)]


def source(name: str, old: str, new: str):
    return lambda cells: cells[name].update(source=cells[name].source.replace(old, new))


def outputs(text: str):
    return lambda cells: cells["step 1"].update(outputs=said(text))


def gone(*names: str):
    return lambda cells: [cells.pop(name) for name in names]


SLIPS = {
    "a section is missing": (rules.test_headings_are_there_and_in_order, gone("explore")),
    "sections are swapped": (
        rules.test_headings_are_there_and_in_order,
        lambda cells: cells.update(idea=cells["build"], build=cells["idea"]),
    ),
    "a home-made section": (rules.test_headings_are_there_and_in_order, source("idea", "## The idea", "## The idea\n## Background")),
    "no link to the paper": (rules.test_title_cell_says_what_when_and_why, source("title", "arxiv.org", "example.org")),
    "other minutes": (rules.test_title_cell_says_what_when_and_why, source("title", f"{LESSON.minutes} minutes", "95 minutes")),
    "two objectives": (rules.test_title_cell_says_what_when_and_why, source("title", "- three", "")),
    "a long text": (rules.test_prose_is_short, source("idea", "## The idea", "## The idea\n" + "word " * 3100)),
    "a step without a check": (rules.test_every_step_is_small_and_checked, source("step 2", "check(", "print(")),
    "three steps": (rules.test_every_step_is_small_and_checked, gone("step 1", "step 2")),
    "four checks": (rules.test_at_least_five_checks, gone("step 1", "break")),
    "a long cell": (rules.test_code_cells_are_short, source("step 1", "    return", "    x = x\n" * 40 + "    return")),
    "nothing is broken": (rules.test_one_step_is_broken_before_the_readers_eyes, gone("break")),
    "one blank": (rules.test_two_later_steps_are_blanks, gone("step 5")),
    "the first step is a blank": (rules.test_two_later_steps_are_blanks, lambda cells: cells["step 1"].metadata.update(tags=["blank"])),
    "training while building": (rules.test_nothing_trains_while_building, source("step 1", "check(", "fit(model)\ncheck(")),
    "one guess": (rules.test_reader_guesses_twice_and_learns_the_truth, source("guess", "second = predict", "second = print")),
    "a guess without an answer": (rules.test_reader_guesses_twice_and_learns_the_truth, source("reveal", "second.reveal", "print")),
    "a claim without a rule": (rules.test_claims_have_rules_and_come_before_training, source("claims", "rule='above 1', ", "")),
    "a claim after training": (
        rules.test_claims_have_rules_and_come_before_training,
        lambda cells: cells.update(claims=cells["fit"], fit=cells["claims"]),
    ),
    "verdicts are not compared": (
        rules.test_table_of_verdicts_is_stored_and_compared,
        lambda cells: cells["verdicts"].metadata.update(tags=[]),
    ),
    "more is compared": (
        rules.test_table_of_verdicts_is_stored_and_compared,
        lambda cells: cells["fit"].metadata.update(tags=["nbval-check-output"]),
    ),
    "a claim is not in the table": (rules.test_table_of_verdicts_is_stored_and_compared, source("claims", "'C2'", "'C3'")),
    "seconds are judged": (rules.test_seconds_are_never_judged, source("claims", "m.ratio.min", "m.seconds.max")),
    "nothing to explore": (rules.test_reader_can_explore, gone("explorer")),
    "no way to the exercise": (rules.test_lesson_leads_to_its_exercise, source("exercises", "course start 13", "the exercise")),
    "two runs mixed": (rules.test_stored_outputs_come_from_one_clean_run, lambda cells: cells["fit"].update(execution_count=3)),
    "the code has changed": (rules.test_stored_outputs_belong_to_this_code, source("step 1", "+ 1", "+ 1.0")),
    "old rows of another lesson": (
        rules.test_rows_taken_from_other_lessons_are_still_theirs,
        lambda cells: cells["fit"].update(
            outputs=[
                new_output(
                    "display_data", data={rules.results.MIME: [["a", [["x", [1.0]]]]], "text/plain": "    x\na  1.00\n17_itransformer  "}
                )
            ]
        ),
    ),
    "stderr is stored": (
        rules.test_stored_outputs_are_clean,
        lambda cells: cells["fit"].update(outputs=[new_output("stream", name="stderr", text="Warning")]),
    ),
    "a path is stored": (rules.test_stored_outputs_are_clean, outputs("read /home/me/x.csv")),
    "a progress bar is stored": (rules.test_stored_outputs_are_clean, outputs(" 50%|#####     | 5/10 [00:01, 4.9 it/s]")),
    "an address is stored": (rules.test_stored_outputs_are_clean, outputs("<function f at 0x7f00aa12>")),
    "a block from a later lesson": (rules.test_borrowed_blocks_were_built_before, source("imports", "selective_scan", "BiMamba")),
    "a block of a room": (
        rules.test_borrowed_blocks_were_built_before,
        source("step 1", "check(", "from minilib import moe\nmoe.MoE\ncheck("),
    ),
    "a block by its full name": (
        rules.test_borrowed_blocks_were_built_before,
        source("step 1", "check(", "import minilib.moe\nminilib.moe.MoE\ncheck("),
    ),
    "a block never named": (rules.test_introduced_blocks_are_named_here, source("imports", "selective_scan", "Mamba")),
}
ALL = [rule for name, rule in vars(rules).items() if name.startswith("test_") and name != "test_lesson_comes_with_solution_and_exercise"]


@pytest.mark.parametrize("rule", ALL, ids=lambda rule: rule.__name__)
def test_a_good_lesson_passes(rule, tmp_path):
    rule(written(tmp_path))


@pytest.mark.parametrize(("rule", "slip"), SLIPS.values(), ids=SLIPS)
def test_a_slip_is_told_with_file_and_way_out(rule, slip, tmp_path):
    with pytest.raises(pytest.fail.Exception) as told:
        rule(written(tmp_path, slip))
    assert "13_mamba.ipynb" in str(told.value) and "Shortest fix: " in str(told.value)


def test_a_black_box_may_be_borrowed(tmp_path):
    def borrowed(cells):
        source("imports", "selective_scan", "BiMamba")(cells)
        source("idea", "## The idea", "## The idea\n\n`BiMamba` is a black box here; lesson 14 builds it.")(cells)

    rules.test_borrowed_blocks_were_built_before(written(tmp_path, borrowed))


def test_every_rule_has_a_slip():
    assert {rule for rule, _ in SLIPS.values()} >= set(ALL) - {rules.test_files_are_small, rules.test_figures_are_few}
