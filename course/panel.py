"""The panel of an exercise: ipywidgets around a ``course.exercise.Session``. Every state is a word as well as a colour."""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any

import ipywidgets as widgets

from course.errors import CourseError

LOOK = {"passed": ("✓", "#1a7f37"), "partly": ("◐", "#9a6700"), "failed": ("✗", "#cf222e"), "not started": ("○", "inherit")}


def panel(session: Any) -> widgets.Widget:
    """All tasks of the session's exercise, one row each."""
    total = widgets.HTML()

    def refresh() -> None:
        scores = session.scores()
        points = sum(s.best for s in scores.values())
        possible = sum(t.points for t in session.exercise.tasks)
        note = "" if session.lesson.solution.exists() else " There are no solutions in this copy; only the visible tests run here."
        total.value = f"<b>{html.escape(session.lesson.title)}</b>: best {points:g} of {possible:g} points.{note}"

    rows = [_row(session, task, refresh) for task in session.exercise.tasks]
    refresh()
    return widgets.VBox([total, *rows])


def _row(session: Any, task: Any, refresh: Callable[[], None]) -> widgets.Widget:
    number = task.number
    head, text = widgets.HTML(), widgets.HTML()
    copy = widgets.Textarea(layout={"width": "100%", "height": "12em", "display": "none"})

    def button(name: str, tip: str) -> widgets.Button:
        return widgets.Button(description=name, tooltip=f"{tip} (task {number})", layout={"width": "auto"})

    check, hint = button("Check", "Run the tests on the version you last ran"), button("Hint", "Show the next hint")
    solution, reset = button("Solution", "Show the author's version"), button("Reset", "Show the cell as it was, to copy")
    anyway = button("Show it anyway", "Show the author's version without an attempt")
    anyway.layout.display = "none"

    def show(status: str | None = None) -> None:
        score = session.scores().get(number)
        if status is None:
            status = "not started" if not score else "passed" if score.best >= task.points else "partly" if score.best else "failed"
        mark, colour = LOOK[status]
        tried = (
            f"best {score.best:g} of {task.points:g}, {score.attempts} {'attempt' if score.attempts == 1 else 'attempts'}"
            if score
            else "not tried yet"
        )
        head.value = (
            f'<span style="color:{colour}"><b>{mark} {status}</b></span> · <b>Task {number} · {html.escape(task.title)}</b> '
            f"({task.label}) · {tried}"
        )

    def say(message: str) -> None:
        text.value = f'<div role="status" style="white-space:pre-wrap;margin-left:1em">{html.escape(message)}</div>'

    def put(source: str) -> None:
        copy.value, copy.rows, copy.layout.display = source, source.count("\n") + 2, ""

    def guarded(work: Callable[[], None]) -> Callable[[Any], None]:
        def click(_: Any) -> None:
            copy.layout.display = anyway.layout.display = "none"
            try:
                work()
            except CourseError as problem:
                say(str(problem))

        return click

    def on_check() -> None:
        check.disabled, check.description = True, "Checking …"
        try:
            result, message = session.check(number)
            say(message)
            show(result["status"])
            refresh()
        finally:
            check.disabled, check.description = False, "Check"

    def on_solution() -> None:
        if session.lesson.solution.exists() and not session.attempts(number):
            anyway.layout.display = ""
            say("Check an attempt of your own first: it teaches more than reading.")
            return
        on_anyway()

    def on_anyway() -> None:
        put(session.solution(number, anyway=True))
        say("The author's version; copy what you need.")

    def on_reset() -> None:
        put(session.reset(number))
        say(f"The cell as it was at the beginning: copy it into the cell of task {number}. (`%task reset {number}` writes it into a cell.)")

    check.on_click(guarded(on_check))
    hint.on_click(guarded(lambda: say(session.hint(number))))
    solution.on_click(guarded(on_solution))
    anyway.on_click(guarded(on_anyway))
    reset.on_click(guarded(on_reset))
    show()
    return widgets.VBox([head, widgets.HBox([check, hint, solution, anyway, reset]), text, copy], layout={"margin": "0 0 0.6em 0"})
