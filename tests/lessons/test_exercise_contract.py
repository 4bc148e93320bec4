"""The contract of an exercise, one test a rule, for every solution notebook that stands."""

import ast
import re

from contract import LESSONS, SOLVED, SYLLABUS, Cell, Notebook, each, fail, named, read

from course import root

KINDS = {"build", "repair", "extend", "experiment", "check"}


def tasks(nb: Notebook) -> list[tuple[int, Cell | None, Cell | None, list[Cell]]]:
    """Number, text, solution cell and test cells of each task, in order."""
    by_id = {cell.grade_id: cell for cell in nb.cells if cell.grade_id}
    numbers = sorted({int(found[1]) for name in by_id if (found := re.match(r"task-(\d+)", name))})
    return [
        (
            n,
            by_id.get(f"task-{n}-text"),
            by_id.get(f"task-{n}"),
            [cell for name, cell in by_id.items() if re.fullmatch(rf"task-{n}-tests(-\d+)?", name)],
        )
        for n in numbers
    ]


@each(SOLVED)
def test_panel_opens_first(lesson):
    nb = read(lesson.solution)
    first = next((cell for cell in nb.cells if cell.code), None)
    if first is None or "%load_ext course.exercise" not in first.source or f"%exercise {lesson.slug}" not in first.source:
        fail(first or nb, "the first code cell opens the panel", f"write `%load_ext course.exercise` and `%exercise {lesson.slug}`")
    if not first.nbgrader.get("locked"):
        fail(first, "the cell that opens the panel is not locked", "lock it and give it a grade_id")


@each(SOLVED)
def test_three_to_five_tasks_with_text_solution_and_tests(lesson):
    nb = read(lesson.solution)
    if not 3 <= len(tasks(nb)) <= 5:
        fail(nb, f"{len(tasks(nb))} tasks, an exercise has 3 to 5", "name the cells task-1-text, task-1, task-1-tests …")
    for n, text, solution, tests in tasks(nb):
        if text is None or text.code or not text.nbgrader.get("locked"):
            fail(text or nb, f"task {n} has no locked text", f"a locked Markdown cell with the grade_id task-{n}-text")
        if solution is None or not solution.nbgrader.get("solution") or solution.nbgrader.get("grade"):
            fail(solution or nb, f"task {n} has no solution cell", f"a code cell with the grade_id task-{n}, solution=true, grade=false")
        if not 0 <= solution.source.find("### BEGIN SOLUTION") < solution.source.find("### END SOLUTION"):
            fail(solution, "no region between ### BEGIN SOLUTION and ### END SOLUTION", "mark what the learner writes")
        for cell in tests:
            if not (cell.nbgrader.get("grade") and cell.nbgrader.get("locked") and cell.nbgrader.get("points", 0) > 0):
                fail(cell, "a test cell is graded, locked and worth points", "correct its nbgrader metadata")
        if not tests or "### BEGIN HIDDEN TESTS" not in tests[-1].source or "### END HIDDEN TESTS" not in tests[-1].source:
            fail(
                tests[-1] if tests else nb,
                f"the last tests of task {n} have no hidden part",
                "### BEGIN HIDDEN TESTS … ### END HIDDEN TESTS",
            )


@each(SOLVED)
def test_tasks_are_of_three_kinds_and_one_writes_the_check(lesson):
    nb = read(lesson.solution)
    kinds = []
    for n, text, *_ in tasks(nb):
        kinds.append(text.raw["metadata"].get("course", {}).get("kind") if text else None)
        if kinds[-1] not in KINDS:
            fail(text or nb, f"task {n} names no kind", f'add metadata "course": {{"kind": …}}, one of {", ".join(sorted(KINDS))}')
    if len(set(kinds)) < 3:
        fail(
            nb,
            f"the tasks are of {len(set(kinds))} kinds, an exercise has at least three",
            "turn a build task into a repair, an extension or an experiment",
        )
    if "check" not in kinds:
        fail(nb, "no task asks to write the check", "add one of kind `check`")


@each(SOLVED)
def test_task_texts_say_points_difficulty_minutes_and_hints(lesson):
    nb = read(lesson.solution)
    for _, text, _, tests in tasks(nb):
        points = sum(cell.nbgrader.get("points", 0) for cell in tests)
        if not re.search(rf"\b{points:g} points?\b", text.source):
            fail(text, f"the text does not name the {points:g} points of its tests", f'write "{points:g} points"')
        for word, pattern in (("difficulty", r"difficulty [1-5]\b"), ("minutes", r"\b\d+ min")):
            if not re.search(pattern, text.source):
                fail(text, f"the text does not name its {word}", 'write "(3 points · difficulty 3 · 15 min)"')
        if (hints := text.source.count("<details>")) != 3:
            fail(text, f"{hints} hints, a task has three", "a question, the concept, the shape of the line, each inside <details>")


@each(SOLVED)
def test_tasks_name_what_is_forbidden(lesson):
    nb = read(lesson.solution)
    for n, text, _, tests in tasks(nb):
        forbidden = _forbidden(tests[0])
        kind = text.raw["metadata"].get("course", {}).get("kind")
        if not forbidden and kind not in ("check", "experiment"):  # what is written or found there exists nowhere ready-made
            fail(
                tests[0],
                f"the tests of task {n} do not begin with what is forbidden",
                'make `forbidden = {"dotted.name", …}` their first statement',
            )
        for name in sorted(forbidden):
            if name.rpartition(".")[2] not in text.source:
                fail(text, f"the text does not say that {name} may not be used", "name it in words")


@each(SOLVED)
def test_one_question_is_answered_in_words(lesson):
    nb = read(lesson.solution)
    by_id = {cell.grade_id: cell for cell in nb.cells if cell.grade_id}
    written = by_id.get("written-1")
    if written is None or written.code or not (written.nbgrader.get("grade") and written.nbgrader.get("solution")):
        fail(written or nb, "no written question", "a Markdown cell written-1 with grade=true and solution=true")
    if "written-1-rubric" not in by_id:
        fail(written, "the written question has no rubric", "a locked Markdown cell written-1-rubric with three lines")


@each(SOLVED)
def test_solution_notebooks_stand_for_a_lesson(lesson):
    if lesson not in LESSONS:
        fail(lesson.solution, "a solution without its lesson", f"write {named(lesson.notebook)}")


@each(SOLVED)
def test_answers_cover_every_task(lesson):
    """What the answers do is tested by running them; here, that none is missing."""
    if not lesson.answers.exists():
        fail(lesson.answers, "no file of answers", "write WRONG_N, RIGHT_N and PROBE_N for each task, and PASTED")
    body = ast.parse(lesson.answers.read_text(encoding="utf-8")).body
    values = {
        target.id: node.value for node in body if isinstance(node, ast.Assign) for target in node.targets if isinstance(target, ast.Name)
    }
    defined = values.keys() | {node.name for node in body if isinstance(node, ast.FunctionDef)}
    wanted = [f"{name}_{n}" for n, *_ in tasks(read(lesson.solution)) for name in ("WRONG", "RIGHT", "PROBE")]
    for name in [*wanted, "PASTED"]:
        if name not in defined:
            fail(lesson.answers, f"{name} is missing", f"define {name} at the top level")
    for name in wanted:
        if name.startswith(("WRONG", "RIGHT")) and isinstance(values.get(name), ast.Dict) and len(values[name].keys) < 2:
            fail(lesson.answers, f"{name} holds fewer than two answers", "add a plausible one")


def _forbidden(cell: Cell) -> set[str]:
    first = cell.tree.body[0] if cell.tree.body else None
    if not (isinstance(first, ast.Assign) and getattr(first.targets[0], "id", "") == "forbidden"):
        return set()
    return set(ast.literal_eval(first.value))


def test_every_notebook_is_in_the_syllabus():
    known = {path for lesson in SYLLABUS.lessons for path in (lesson.notebook, lesson.solution, lesson.exercise)}
    for folder in ("chapters", "solutions", "exercises"):
        for path in sorted((root() / folder).rglob("*.ipynb")):
            if path not in known and ".ipynb_checkpoints" not in path.parts:
                fail(path, "no lesson of the syllabus has this notebook", "rename it, or add the lesson to chapters/syllabus.toml")
