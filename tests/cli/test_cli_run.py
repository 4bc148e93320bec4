"""`course run`: what is executed, printed and stored."""

import json

import pytest
from small_course import claim

from course.hashing import is_fresh

GOOD = ("# Mamba", "x = 1", "## Claims", claim("C1"))


def test_a_lesson_runs_and_its_claims_are_printed(course):
    course.write(*GOOD)
    before = course.lesson.read_bytes()
    code, out, _ = course.type("run", "13")
    assert code == 0
    assert "C1" in out and "reproduced" in out
    assert "✓ 13_mamba: 2 cells" in out and "s of CPU" in out and "MiB" in out
    assert course.lesson.read_bytes() == before


def test_the_kernel_knows_that_nobody_watches(course):
    names = "COURSE_HEADLESS", "COURSE_LESSON", "COURSE_SCALE", "COURSE_SEED", "OMP_NUM_THREADS"
    course.write(f"import os, sys\nprint([os.environ[n] for n in {names}], os.getcwd(), sys.executable)")
    course.type("run", "13", "--keep")
    text = course.read().cells[0].outputs[0].text
    assert text.startswith(f"['1', '13_mamba', 'laptop', '10', '1'] {course.lesson.parent}")


def test_another_seed_is_never_stored(course, sentence, monkeypatch):
    course.write("import os\nassert os.environ['COURSE_SEED'] == '10'")
    monkeypatch.setenv("COURSE_SEED", "20")
    assert course.type("run", "13")[0] == 1
    assert course.type("run", "13", "--keep")[0] == 0
    monkeypatch.setenv("COURSE_SEED", "many")
    sentence("run", "13", code=2)


def test_it_stops_at_the_first_failing_cell_in_ten_lines(course):
    many = (
        "def f(a):\n"
        + "".join(f"    b{i} = {i}\n" for i in range(20))
        + "    assert a == 2, '✗ rows [sum] to one: off by 0.5'\n\nf(1)\nprint('after')"
    )
    course.write("### Step 3 · Sum", "x = 1", many, "raise SystemError('never reached')")
    code, out, _ = course.type("run", "13")
    assert code == 1
    lines = out.rstrip().splitlines()
    assert len(lines) <= 10
    assert lines[0] == "✗ 13_mamba stopped in cell 2 of 3 (Step 3 · Sum)"
    assert any(line.startswith("→") and line.endswith("f(1)") for line in lines)
    assert lines[-1] == "AssertionError: ✗ rows [sum] to one: off by 0.5"
    assert "\x1b" not in out


def test_a_failing_lesson_is_not_stored_and_does_not_stop_the_next(course):
    course.write("1 / 0")
    other = course.write("y = 2\ny", path=course.root / "chapters/03_state_spaces/14_mambamixer.ipynb")
    before = course.lesson.read_bytes()
    code, out, _ = course.type("run", "ALL", "--keep")
    assert code == 1 and "1 of 2 lessons ran to the end; not 13_mamba" in out
    assert course.lesson.read_bytes() == before
    assert course.read(other).cells[0].outputs[0].data["text/plain"] == "2"


def test_keep_stores_outputs_that_name_no_machine_and_no_moment(course):
    widget = 'display({"application/vnd.jupyter.widget-view+json": {"model_id": "a"}, "text/plain": "VBox()"}, raw=True)'
    course.write(*GOOD, f"print('a')\n{widget}\nprint('b')")
    nb = course.read()
    nb.cells[1].metadata.execution = {"iopub.execute_input": "now"}
    nb.metadata = {"kernelspec": {"name": "other", "display_name": "mine"}, "widgets": {"state": {}}, "course": {"note": "kept"}}
    course.lesson.write_text(json.dumps(nb))
    assert course.type("run", "13", "--keep")[0] == 0
    nb, first = course.read(), course.lesson.read_bytes()
    assert nb.metadata.keys() == {"kernelspec", "language_info", "course"}
    assert nb.metadata.kernelspec == {"display_name": "Python 3", "language": "python", "name": "python3"}
    assert nb.metadata.language_info == {"name": "python"}
    assert nb.metadata.course.keys() == {"note", "code_hash", "scale", "python", "torch"} and nb.metadata.course.scale == "laptop"
    assert "execution" not in nb.cells[1].metadata
    assert "widget" not in str(nb.cells[4].outputs) and nb.cells[4].outputs[0].text == "a\nb\n"
    assert [cell.get("execution_count") for cell in nb.cells] == [None, 1, None, 2, 3]
    course.type("run", "13", "--keep")
    assert course.lesson.read_bytes() == first, "a second run stores the same bytes"
    assert [path.name for path in course.lesson.parent.iterdir()] == ["13_mamba.ipynb"]


def test_a_notebook_saved_while_it_runs_is_not_overwritten(course, sentence):
    course.write(f"with open({str(course.lesson)!r}, 'a') as file: file.write(' ')")
    before = course.lesson.read_bytes()
    assert "saved by somebody else while it ran" in sentence("run", "13", "--keep")
    assert course.lesson.read_bytes() == before + b" "


def test_code_edited_while_it_runs_makes_the_outputs_stale(course):
    library = course.root / "minilib"
    library.mkdir()
    (library / "__init__.py").write_text("")
    course.write("import minilib", f"open({str(library / '__init__.py')!r}, 'w').write('x = 1')")
    course.type("run", "13", "--keep")
    assert "code_hash" in course.read().metadata.course and not is_fresh(course.read())


def test_seeds_count_verdicts_and_name_the_claim_that_varies(course):
    varies = 'import os\nv = "partly" if os.environ["COURSE_SEED"] == "20" else "reproduced"\n'
    course.write(claim("C1"), varies + claim("C2", "v"), claim("C3", stable=False), varies + claim("C4", "v", stable=False))
    before = course.lesson.read_bytes()
    code, out, _ = course.type("run", "13", "--seeds", "3")
    assert code == 1
    assert "2 reproduced, 1 partly" in out
    assert 'C2 differs between seeds: declare it with stable=False, frequency="reproduced in 2 of 3 runs".' in out
    assert "C3 declares stable=False, yet all 3 runs agree" in out
    assert "C1 d" not in out and "C4 d" not in out
    assert course.lesson.read_bytes() == before


def test_a_full_run_leaves_the_notebook_and_writes_its_figures_beside_it(course):
    course.write("import os\n" + claim("C1", 'os.environ["COURSE_SCALE"]'))
    before = course.lesson.read_bytes()
    assert course.type("run", "13", "--scale", "full")[0] == 0
    record = json.loads(course.lesson.with_suffix(".full.json").read_text())
    assert record.keys() == {"date", "machine", "seed", "claims"} and record["claims"][0]["verdict"] == "full"
    assert course.lesson.read_bytes() == before


def test_a_path_runs_that_very_file(course):
    course.write("1 / 0")
    copy = course.write("print(1)", path=course.root / "work/03_state_spaces/13_mamba.ipynb")
    assert course.type("run", str(copy))[0] == 0
    assert "13_mamba" in course.type("run", str(copy), "--keep")[2]


@pytest.mark.parametrize(
    "words",
    [
        ("run",),
        ("run", "13", "--keep", "--scale", "full"),
        ("run", "13", "--keep", "--seeds", "3"),
        ("run", "13", "--scale", "huge"),
        ("walk",),
    ],
)
def test_wrong_usage_is_a_sentence_and_exit_code_2(course, sentence, words):
    course.write("1")
    sentence(*words, code=2)


SHARED = """import torch
from minilib import claims, parallel
from minilib.training import fit
torch.manual_seed(0)
run = fit(torch.nn.Linear(3, 1), lambda g: torch.randn(4, 3, generator=g), lambda m, x: m(x).square().mean(), steps=3, lr=0.1, seed=1)
c = claims.declare("C1", "two processes", paper="-", rule="-", reproduced=lambda m: m.size.max == 2)
claims.verdicts(c.measured(size=parallel.size()))"""


def test_processes_share_the_training_and_leave_figures_but_no_checkpoints(course):
    course.write("# Mamba", SHARED)
    before = course.lesson.read_bytes()
    code, out, _ = course.type("run", "13", "--scale", "full", "--processes", "2")
    assert code == 0, out
    assert "torchrun --standalone --nproc-per-node=2" in out and "C1" in out and "reproduced" in out
    assert json.loads(course.lesson.with_suffix(".full.json").read_text())["claims"][0]["verdict"] == "reproduced"
    assert not (course.root / "work/runs/13_mamba").exists() and course.lesson.read_bytes() == before


def test_a_long_run_that_stops_goes_on_from_its_checkpoint_unless_its_code_has_changed(course):
    stops = "import os\nfrom pathlib import Path\nif not Path('../../second').exists():\n    os._exit(1)"
    trains = "steps = []\n" + SHARED.replace("lambda g:", "lambda g: steps.append(1) or")
    course.write("# Mamba", trains, stops, "assert not steps")
    assert course.type("run", "13", "--scale", "full")[0] == 1
    (kept,) = (course.root / "work/runs/13_mamba").glob("checkpoints-*-10")
    assert list(kept.iterdir())
    (course.root / "second").touch()
    course.write("# Mamba", trains.replace("x).square()", "x).abs()"), stops, "assert len(steps) == 3")
    assert course.type("run", "13", "--scale", "full", "--processes", "1")[0] == 0, "another loss is trained from the start"


def test_a_finished_training_is_read_back(course):
    stops = "import os\nfrom pathlib import Path\nif not Path('../../second').exists():\n    os._exit(1)"
    course.write("# Mamba", "steps = []\n" + SHARED.replace("lambda g:", "lambda g: steps.append(1) or"), stops, "assert not steps")
    assert course.type("run", "13", "--scale", "full")[0] == 1
    (course.root / "second").touch()
    assert course.type("run", "13", "--scale", "full")[0] == 0, "not repeated"


def test_processes_store_and_count_nothing(sentence, course):
    course.write("x = 1")
    assert "--processes" in sentence("run", "13", "--processes", "2", "--keep", code=2)
