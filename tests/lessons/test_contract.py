"""The lesson contract, one test a rule, for every lesson that stands. A lesson added later is held to it without a new line here."""

import ast
import re

import nbformat
from contract import LESSONS, PAPERS, SYLLABUS, Cell, Notebook, each, fail, last_name, read

from course.hashing import is_fresh
from minilib import results

SECTIONS = [
    "The question",
    "The idea",
    "Build it",
    "Train it",
    "What the paper claims, what we measured",
    "Explore",
    "Larger run",
    "Exercises and further reading",
]
OPTIONAL = {"Train it", "Larger run"}
CLAIMS_MIME = "application/vnd.course.claims+json"
# minilib that every lesson may use without having built it: it judges, draws, counts, loads and trains, and is never the subject
SURFACE = {"check", "claims", "count", "data", "explore", "results", "show", "training"}
SECONDS = re.compile(r"second|elapsed|wall|duration|millis|_ms$|^ms$|_s$|^time$|perf_counter")
MACHINE = re.compile(r"(?<![\w.])/(?:home|root|tmp|work|usr|opt|Users|private)/\w|\b[A-Z]:\\\w")


# ------------------------------------------------------------------------------------------------------------------ order and words


@each(LESSONS)
def test_lesson_comes_with_solution_and_exercise(lesson):
    for path in (lesson.solution, lesson.exercise, lesson.answers):
        if not path.exists():
            fail(
                path, "a lesson has three notebooks and a file of answers, all of one name", "write it, or `course release` for exercises/"
            )


@each(LESSONS)
def test_headings_are_there_and_in_order(lesson):
    nb = read(lesson.notebook)
    headings = [heading for heading in nb.headings if heading in SECTIONS]
    extra = [heading for heading in nb.headings if heading not in SECTIONS]
    if extra and lesson.kind != "start":
        fail(nb, f"`## {extra[0]}` is not a section of a lesson", "make it a ### heading, or spell the section as the contract does")
    if headings != sorted(headings, key=SECTIONS.index):
        fail(nb, f"the sections stand in the order {', '.join(headings)}", f"put them in the contract's order: {', '.join(SECTIONS)}")
    optional = OPTIONAL - ({"Train it"} if lesson.kind == "method" else set())
    always = [section for section in SECTIONS if section not in optional] if lesson.kind != "start" else SECTIONS[-1:]
    if missing := [section for section in always if section not in headings]:
        fail(nb, f"the section `## {missing[0]}` is missing", "add the heading, spelt exactly so")


@each(LESSONS)
def test_title_cell_says_what_when_and_why(lesson):
    nb = read(lesson.notebook)
    title = "\n".join(cell.source for cell in nb.cells if not cell.code and not cell.section)
    if not title.lstrip().startswith("# "):
        fail(nb.cells[0], "the first cell is the title", f'begin it with "# {lesson.title}"')
    if not re.search(rf"\b{lesson.minutes}\s*min", title):
        fail(nb.cells[0], f"the title cell names the {lesson.minutes} minutes of the syllabus", f'write "{lesson.minutes} minutes"')
    for required in map(SYLLABUS.by_id.get, lesson.requires):
        if required.notebook.exists() and f"{required.slug}.ipynb" not in title:
            fail(nb.cells[0], "the title cell links the prerequisites", f"link {required.id}.ipynb")
    if len(re.findall(r"^(?:[-*]|\d\.) ", title, flags=re.M)) < 3:
        fail(nb.cells[0], "the title cell lists three objectives", "write three list items")
    if lesson.kind == "start":
        return
    if f"arxiv.org/abs/{lesson.arxiv}" not in title:
        fail(nb.cells[0], "the title cell links the paper", f"link https://arxiv.org/abs/{lesson.arxiv}")
    if str(lesson.year) not in title:
        fail(nb.cells[0], "the title cell names the year", f"write {lesson.year}")
    if re.split(r",| et al", lesson.authors)[0] not in title:
        fail(nb.cells[0], "the title cell names the authors", f"write {lesson.authors}")
    if not re.search(r"today|matters", title, flags=re.I):
        fail(nb.cells[0], "the title cell says in one line why the paper matters today", f'for instance "{lesson.why}"')


@each(LESSONS)
def test_prose_is_short(lesson):
    nb = read(lesson.notebook)
    words = len(re.sub(r"<details>.*?</details>|```.*?```|\$\$.*?\$\$", " ", nb.prose(), flags=re.S).split())
    if words > 2500 * 1.2:
        fail(nb, f"{words} words outside folds; a lesson has about 2,500", 'fold what does not fit under "Going further" in <details>')


@each(LESSONS)
def test_figures_are_few(lesson):
    nb = read(lesson.notebook)
    shown = [cell for cell in nb.cells for _ in range(cell.pictures()) if not cell.raw["metadata"].get("jupyter", {}).get("outputs_hidden")]
    if len(shown) > 8:
        fail(shown[8], f"this is one of {len(shown)} figures; a lesson shows eight", "join two in one figure, or fold the cell's output")


# --------------------------------------------------------------------------------------------------------------------------- build it


@each(LESSONS)
def test_every_step_is_small_and_checked(lesson):
    nb = read(lesson.notebook)
    steps = {name: cells for name, cells in nb.steps().items() if any(cell.code for cell in cells)}
    if "Build it" not in nb.headings and lesson.kind == "start":
        return
    if not 4 <= len(steps) <= 10:
        fail(nb, f"*Build it* has {len(steps)} steps with code, a lesson has 4 to 10", "give each step a ### heading; split or join steps")
    for name, cells in steps.items():
        if not any(cell.calls("check") for cell in cells):
            fail(
                cells[0],
                f'the step "{name}" has no check',
                "add a check(…) that can fail: an identity, a limit, a slow reference, a gradient",
            )


@each(PAPERS)
def test_at_least_five_checks(lesson):
    nb = read(lesson.notebook)
    if (found := len(nb.calls("check"))) < 5:
        fail(nb, f"{found} calls of check, a lesson has at least 5", "check one more fact that can fail")


@each(LESSONS)
def test_code_cells_are_short(lesson):
    nb = read(lesson.notebook)
    for cell in nb.cells:
        every = cell.source.splitlines() if cell.code else []
        lines = [line for line in every if line.strip()]
        if len(every) > 45:
            fail(cell, f"{len(every)} lines in one code cell", "split it: no cell has more than 45")
        if cell.section == "Build it" and len(lines) > 30:
            fail(
                cell,
                f"{len(lines)} lines in a cell of *Build it*, which has about 25",
                "split the step, or move its checks to a cell of their own",
            )


@each(LESSONS)
def test_one_step_is_broken_before_the_readers_eyes(lesson):
    nb = read(lesson.notebook)
    if "Build it" in nb.headings and not nb.calls("breaks", "Build it"):
        fail(
            nb, "no *Break it* cell in *Build it*", 'add `with breaks("the change in words"):` around a check that stops a changed version'
        )


@each(PAPERS)
def test_two_later_steps_are_blanks(lesson):
    nb = read(lesson.notebook)
    first = next(iter(nb.steps()), "")
    blanks = [cell for cell in nb.cells if "blank" in cell.tags]
    if len(blanks) < 2:
        fail(nb, f"{len(blanks)} cells carry the tag `blank`, a lesson has two", "tag two later steps that define a function")
    for cell in blanks:
        if cell.section != "Build it" or cell.step == first:
            fail(cell, "a blank is a later step of *Build it*", "move the tag to a later step")
        if not any(isinstance(node, ast.FunctionDef | ast.ClassDef) for node in cell.tree.body):
            fail(cell, "a blank defines a function whose body can be emptied", "tag a cell that defines one")


@each(LESSONS)
def test_nothing_trains_while_building(lesson):
    nb = read(lesson.notebook)
    if lesson.kind != "start" and (trained := nb.calls("fit", "Build it")):
        fail(trained[0][0], "`fit` is called in *Build it*, where nothing trains", "move it to *Train it*")


# ----------------------------------------------------------------------------------------------------------------- guesses and claims


@each(PAPERS)
def test_reader_guesses_twice_and_learns_the_truth(lesson):
    nb = read(lesson.notebook)
    guesses, answers = nb.calls("predict"), nb.calls("reveal")
    if len(guesses) < 2:
        fail(nb, f"{len(guesses)} calls of predict, a lesson has at least 2", "ask for the headline figure before it is measured")
    if len(answers) < len(guesses):
        fail(guesses[-1][0], f"{len(guesses)} guesses but {len(answers)} calls of .reveal(…)", "reveal the truth in a later cell")


@each(PAPERS)
def test_claims_have_rules_and_come_before_training(lesson):
    nb = read(lesson.notebook)
    claims = nb.calls("declare")
    if len(claims) < 2:
        fail(nb, f"{len(claims)} claims are declared, a lesson has at least 2", "claims.declare(id, title, paper=…, rule=…, reproduced=…)")
    for cell, call in claims:
        rule = next((keyword.value for keyword in call.keywords if keyword.arg == "rule"), None)
        if rule is None or (isinstance(rule, ast.Constant) and not str(rule.value).strip()):
            fail(cell, "a claim is declared without a rule in words", "add rule=…")
    trained = [cell.number for cell, _ in nb.calls("fit", "Train it")]
    for cell, _ in claims:
        if trained and cell.number > min(trained):
            fail(cell, "a claim is declared after the first training", "declare all claims at the head of *Train it*")


@each(PAPERS)
def test_table_of_verdicts_is_stored_and_compared(lesson):
    nb = read(lesson.notebook)
    tables = [cell for cell in nb.cells if cell.calls("verdicts")]
    if not tables:
        fail(nb, "no cell shows the table of claims", "end a cell with claims.verdicts(…)")
    for cell in tables:
        if "nbval-check-output" not in cell.tags:
            fail(cell, "the table of verdicts is not compared by the tests", "give the cell the tag nbval-check-output")
    if stray := [cell for cell in nb.cells if "nbval-check-output" in cell.tags and cell not in tables]:
        fail(stray[0], "only the table of verdicts is compared", "remove the tag nbval-check-output")
    rows = [row for cell in tables for output in cell.outputs for row in output.get("data", {}).get(CLAIMS_MIME, [])]
    declared = {ast.literal_eval(call.args[0]) for _, call in nb.calls("declare") if call.args and isinstance(call.args[0], ast.Constant)}
    if missing := declared - {row["id"] for row in rows}:
        fail(
            tables[0],
            f"claim {min(missing)} is declared but not in the stored table",
            "pass it to claims.verdicts and run `course run --keep`",
        )
    if any(row["lesson"] != lesson.slug for row in rows):
        fail(tables[0], "the stored table names another lesson", f"run `course run {lesson.slug} --keep`")


@each(PAPERS)
def test_seconds_are_never_judged(lesson):
    nb = read(lesson.notebook)
    for cell, call in [*nb.calls("declare"), *nb.calls("check")]:
        judged = [keyword.value for keyword in call.keywords if keyword.arg in ("reproduced", "partly", "contradicted")]
        judged += call.args if last_name(call.func) == "check" else []
        names = {last_name(node) for part in judged for node in ast.walk(part) if isinstance(node, ast.Attribute | ast.Name)}
        if timed := sorted(name for name in names if SECONDS.search(name)):
            fail(
                cell,
                f"`{timed[0]}` looks like seconds, and seconds are reported, never judged",
                "judge a count or a paired ratio of medians",
            )


@each(LESSONS)
def test_reader_can_explore(lesson):
    nb = read(lesson.notebook)
    if lesson.kind != "start" and not nb.calls("explore", "Explore"):
        fail(nb, "no explorer in *Explore*", "explore(draw, ask=…, notice=…, name=slider(…))")


@each(LESSONS)
def test_lesson_leads_to_its_exercise(lesson):
    nb = read(lesson.notebook)
    words = "\n".join(cell.source for cell in nb.inside(SECTIONS[-1]))
    if not re.search(rf"course start|exercises/{lesson.id}", words):
        fail(nb, f"*{SECTIONS[-1]}* does not say how to open the exercise", f"write `course start {lesson.number or lesson.short}`")


# --------------------------------------------------------------------------------------------------------------------- stored outputs


@each(LESSONS)
def test_stored_outputs_come_from_one_clean_run(lesson):
    nb = read(lesson.notebook)
    code = [cell for cell in nb.cells if cell.code and cell.source.strip()]
    for count, cell in enumerate(code, 1):
        if cell.raw.get("execution_count") != count:
            fail(cell, "the stored outputs are not of one run from top to bottom", f"`course run {lesson.slug} --keep`")


@each(LESSONS)
def test_stored_outputs_belong_to_this_code(lesson):
    nb = read(lesson.notebook)
    if not is_fresh(nbformat.read(nb.path, as_version=4)):
        fail(nb, "the code or the minilib it imports has changed since the outputs were stored", f"`course run {lesson.slug} --keep`")
    if nb.metadata["course"].get("scale") != "laptop":
        fail(nb, "only outputs of a laptop run are stored", f"`course run {lesson.slug} --keep` without --scale")


@each(LESSONS)
def test_rows_taken_from_other_lessons_are_still_theirs(lesson):
    for cell in read(lesson.notebook).cells:
        for data in (output.get("data", {}) for output in cell.outputs):
            if results.MIME in data:
                shown = "".join(data["text/plain"])
                first_words = {line.split()[0] for line in shown.splitlines() if line.strip()}
                also = [other.slug for other in LESSONS if other != lesson and other.slug in first_words]
                also.sort(key=shown.index)
                own = {name: dict(columns) for name, columns in data[results.MIME]}
                now = results._Table({lesson.slug: own} | {other: results.stored(other) for other in also})
                if repr(now) != shown:
                    fail(cell, "a lesson whose rows are shown here has other results now", f"`course run {lesson.slug} --keep`")


@each(LESSONS)
def test_stored_outputs_are_clean(lesson):
    nb = read(lesson.notebook)
    for cell in nb.cells:
        for output in cell.outputs:
            if output["output_type"] == "error":
                fail(cell, "an error is stored", "mend the cell and run the lesson again")
            if output.get("name") == "stderr":
                fail(cell, "a warning or another line on stderr is stored", "remove its cause; do not hide it")
        text = cell.printed()
        if found := MACHINE.search(text):
            fail(
                cell,
                f'a path of one machine is stored: "{text[found.start() : found.start() + 40]}"',
                "print a name relative to the course",
            )
        if re.search(r"\d%\|| it/s|s/it", text):
            fail(cell, "a progress bar is stored", "use minilib.training.fit, which clears its own, or tqdm(leave=False)")
        if re.search(r"\bat 0x[0-9a-f]{6,}", text):
            fail(cell, "a memory address is stored", "print the value, not the object")


@each(LESSONS)
def test_files_are_small(lesson):
    for path in (lesson.notebook, lesson.solution, lesson.exercise):
        if path.exists() and path.stat().st_size > 1_500_000:
            fail(path, f"{path.stat().st_size // 1000} kB, at most 1,500", "draw fewer points, smaller figures")


# ----------------------------------------------------------------------------------------------------------------------- what it uses


@each(LESSONS)
def test_borrowed_blocks_were_built_before(lesson):
    """A name from minilib is part of the surface, built by a prerequisite or here, or named as a black box."""
    nb = read(lesson.notebook)
    known = {block for name in {lesson.id, *SYLLABUS.ancestors(lesson)} for block in SYLLABUS.by_id[name].introduces}
    boxes = [paragraph for paragraph in re.split(r"\n\s*\n", nb.prose()) if re.search("black.box", paragraph, flags=re.I)]
    for cell, block in _borrowed(nb):
        if block in known or any(re.search(rf"\b{re.escape(block.rpartition('.')[2])}\b", paragraph) for paragraph in boxes):
            continue
        by = next((other.id for other in SYLLABUS.lessons if block in other.introduces), None)
        fix = f"require {by}" if by else f"add {block} to `introduces` of the lesson that builds it"
        fail(
            cell,
            f"minilib.{block} was built by no prerequisite",
            f'{fix}, or write a paragraph that calls it a "black box" and says where it is built',
        )


@each(LESSONS)
def test_introduced_blocks_are_named_here(lesson):
    nb = read(lesson.notebook)
    text = "\n".join(cell.source for cell in nb.cells)
    for block in lesson.introduces:
        if not re.search(rf"\b{block.rpartition('.')[2]}\b", text):
            fail(nb, f"the syllabus says that this lesson introduces {block}, but it never names it", "build it, or correct `introduces`")


def _borrowed(nb: Notebook) -> list[tuple[Cell, str]]:
    """Every block of minilib outside the surface that the lesson uses, as `room.name`, with the cell that says so."""
    found, rooms = [], {}
    for cell in (cell for cell in nb.cells if cell.code):
        for node in ast.walk(cell.tree):
            if isinstance(node, ast.ImportFrom) and node.module == "minilib":
                rooms |= {alias.asname or alias.name: alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("minilib."):
                found += [(cell, f"{node.module.removeprefix('minilib.')}.{alias.name}") for alias in node.names]
            elif isinstance(node, ast.Import):
                rooms |= {
                    alias.asname: alias.name.removeprefix("minilib.")
                    for alias in node.names
                    if alias.asname and alias.name.startswith("minilib.")
                }
        for node in (node for node in ast.walk(cell.tree) if isinstance(node, ast.Attribute)):
            match node.value:
                case ast.Name(alias) if alias in rooms:
                    found.append((cell, f"{rooms[alias]}.{node.attr}"))
                case ast.Attribute(ast.Name("minilib"), room):
                    found.append((cell, f"{room}.{node.attr}"))
    return [(cell, block) for cell, block in found if block.split(".")[0] not in SURFACE]
