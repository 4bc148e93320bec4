"""Every exercise against its known answers: right ones score full, wrong ones lose points of their own task and of no other.

One lesson alone: ``pytest tests/answers -k 13_mamba``. Each failure names the file, the task and the shortest fix.
"""

import ast

import pytest

from course import answers as known
from course.assemble import ExerciseError, assemble, parse
from course.diagnosis import same
from course.forbidden import locate


def short(results) -> str:
    """What was lost where, for a failure's message."""
    return "; ".join(f"task {r.task}: {r.points:g} of {r.possible:g} ({r.message})" for r in results if r.message) or "nothing was lost"


def test_answers_cover_every_task(lesson, bench):
    """At least two wrong and two right answers and a probe a task; every edit matches the solution exactly once."""
    b = bench(lesson)
    for task in b.tasks:
        n = task.number
        for kind, have in (("WRONG", b.known.wrong.get(n, {})), ("RIGHT", b.known.right.get(n, {}))):
            if len(have) < 2:
                pytest.fail(f"{b.file}: {kind}_{n} has {len(have)} answers, at least 2 are needed; add a plausible one.")
            for sentence, answer in have.items():
                try:
                    known.text(answer, task.source)
                except ExerciseError as problem:
                    pytest.fail(f"{b.file}: {kind}_{n}[{sentence!r}]: {problem}")
        if n not in b.known.probe:
            pytest.fail(f"{b.file}: PROBE_{n} is missing; define a function of the namespace that returns numbers.")
    unknown = (b.known.wrong.keys() | b.known.right.keys() | b.known.probe.keys() | b.known.pasted.keys()) - {t.number for t in b.tasks}
    if unknown:
        pytest.fail(f"{b.file}: there is no task {min(unknown)} in the solution notebook; renumber its answers.")


def test_untouched_exercise_scores_nothing(lesson, bench):
    b = bench(lesson)
    exercise = parse(assemble(b.exercise, b.solution))
    results = b.alone({t.number: t.source for t in exercise.tasks})
    for r in results.values():
        for test in r.tests:
            if test.points:
                pytest.fail(
                    f"{b.exercise.name}: {test.id} gives {test.points:g} points to the untouched exercise; call the learner's function."
                )


def test_solution_scores_full(lesson, bench):
    b = bench(lesson)
    first = b.tasks[0]
    for how, results in (
        ("each task alone", b.alone({t.number: t.source for t in b.tasks})),
        ("all tasks in one namespace", b.together(first.number, first.source)),
    ):
        for r in results.values():
            if r.points != r.possible:
                pytest.fail(f"{b.solution.name}, {how}: the solution of task {r.task} gets {r.points:g} of {r.possible:g}: {r.message}")


def test_tests_take_a_second(lesson, bench):
    """1 s of CPU time by the contract. Slow and busy machines take four times as long, so only a slip fails here."""
    b = bench(lesson)
    if (took := b.inline()[0]) > 10:
        pytest.fail(f"{b.solution.name}: the solution and its tests take {took:.1f} s of CPU time, 1 s is the budget; use smaller inputs.")


def test_assertions_speak(lesson, bench):
    """Every assert of a test cell has a message, and partial credit is a number that nbgrader can read."""
    b = bench(lesson)
    for test in (t for task in b.tasks for t in task.tests):
        for node in ast.walk(ast.parse(test.source)):
            if isinstance(node, ast.Assert) and node.msg is None:
                pytest.fail(f"{b.solution.name}: {test.id} asserts `{ast.unparse(node.test)}` without a message; say what to look at.")
    points = {t.id: t.points for task in b.tasks for t in task.tests}
    for cell, value, kind in b.inline()[1]:
        if kind not in ("int", "float"):
            pytest.fail(
                f"{b.solution.name}: the last expression of {cell} is a {kind}, which nbgrader takes for full points; wrap it in float(…)."
            )
        if not 0 <= value <= points[cell]:
            pytest.fail(
                f"{b.solution.name}: the last expression of {cell} is {value:g}, outside 0 … {points[cell]:g}; nbgrader refuses that."
            )


def test_right_answer(name, task, right, bench):
    b = bench(name)
    result = b.alone({task: b.source(task, b.known.right[task][right])})[task]
    if result.points != result.possible:
        pytest.fail(
            f"{b.file}: RIGHT_{task}[{right!r}] gets {result.points:g} of {result.possible:g}: {result.message} Loosen the test or mend it."
        )


def test_wrong_answer(name, task, wrong, bench):
    b = bench(name)
    results = b.together(task, b.source(task, b.known.wrong[task][wrong]))
    own = results.pop(task)
    if own.points >= own.possible:
        pytest.fail(
            f"{b.file}: WRONG_{task}[{wrong!r}] gets all {own.possible:g} points; add a hidden test that tells it from the solution."
        )
    if lost := [r for r in results.values() if r.points != r.possible]:
        pytest.fail(f"{b.file}: WRONG_{task}[{wrong!r}] costs points of another task: {short(lost)} Let that task use given code only.")
    probe = b.diagnoser.probe
    mine, solution = probe(task, b.known.wrong[task][wrong]), b.solution_numbers(task)
    if solution is None:
        pytest.fail(f"{b.file}: PROBE_{task} fails on the solution; run it by hand on the solution's namespace.")
    if mine is not None and same(mine, solution):
        pytest.fail(f"{b.file}: PROBE_{task} gives WRONG_{task}[{wrong!r}] the solution's numbers; probe an input on which they differ.")


def test_pasted_code_earns_at_most_half(lesson, bench):
    b = bench(lesson)
    results = b.alone({n: b.source(n, answer) for n, answer in b.known.pasted.items()})
    points, possible = sum(r.points for r in results.values()), sum(t.points for t in b.tasks)
    if points > possible / 2:
        earned = ", ".join(f"task {r.task}: {r.points:g}" for r in results.values() if r.points)
        pytest.fail(
            f"{b.file}: PASTED earns {points:g} of {possible:g} points ({earned}); give those tasks a twist that the lesson does not print."
        )


def test_forbidden_name_is_refused(name, task, forbidden, bench):
    """Imported under another name it is seen in the source; fetched in a way the source does not show, it is refused when called."""
    b = bench(name)
    module, _, last = forbidden.rpartition(".")
    if module and locate(forbidden) is None:
        pytest.fail(f"{b.solution.name}: task {task} forbids {forbidden}, which does not exist; write where it is defined.")
    source = b.runner.exercise.task(task).source
    owner = f"import {module.replace('.Tensor', '')} as m" if module else ""
    path = ("m.Tensor." if module.endswith(".Tensor") else "m.") + last
    readable = source + (f"\n{owner}\n_unused = {path}" if module else f"\nimport {forbidden}")
    first, *rest = forbidden.split(".")
    hidden = f"{source}\nimport functools, sys\nfunctools.reduce(getattr, {rest!r}, sys.modules[{first!r} + ''])()"
    callable_python = callable(locate(forbidden)) and not isinstance(locate(forbidden), type)
    for how, text in (("named in the source", readable), *([("called behind an alias", hidden)] if callable_python else [])):
        result = b.alone({task: text})[task]
        if result.points or "may not use" not in result.message:
            pytest.fail(
                f"{b.solution.name}: task {task} accepts {forbidden} {how}: {result.points:g} points, {result.message or 'no message'}"
            )
