"""The exercise in the notebook: ``%load_ext course.exercise``; ``%exercise NN_slug`` shows the panel, ``%task …`` does the same in text.

``%task``                     the tasks with points, attempts and status
``%task check 2``             runs the tests on the version of the cell that was run last
``%task hint 2``              the next hint
``%task solution 2``          after a first attempt, or with ``anyway`` behind it; ``%task solution written`` shows the model answer
``%task reset 2``             the cell as it was at the beginning, in place of this one

Tests run in a process of their own (``course.worker``), kept warm. Under nbgrader and in headless runs both magics are silent.
"""

from __future__ import annotations

import os
import sqlite3
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

from course import notebooks, store, syllabus
from course.assemble import Exercise, bound, grade_id, parse
from course.errors import CourseError
from course.study import source_of
from course.worker import Worker

COMMANDS = "check, hint, solution, reset"
OPEN: list[Session] = []  # the exercise of this kernel, once `%exercise` has run


class Session:
    """One exercise in one kernel: what the learner ran, and the process that grades it."""

    def __init__(self, shell: Any, name: str):
        self.shell, self.lesson = shell, syllabus.load().find(name)
        self.source = source_of(self.lesson)
        self.exercise: Exercise = parse(notebooks.read(self.source))
        self.released: Exercise = parse(notebooks.read(self.lesson.exercise)) if self.lesson.exercise.exists() else self.exercise
        self.shown = {task.number: 0 for task in self.exercise.tasks}  # rungs of the hint ladder
        self.ran: dict[str, str] = {}  # cell id → source, for frontends that send ids (JupyterLab does)
        self._worker: Worker | None = None
        shell.events.register("pre_run_cell", self._note_cell)
        self.worker()

    def close(self) -> None:
        with suppress(ValueError):
            self.shell.events.unregister("pre_run_cell", self._note_cell)
        if self._worker:
            self._worker.close()

    def _note_cell(self, info: Any) -> None:
        if getattr(info, "cell_id", None):
            self.ran[info.cell_id] = info.raw_cell

    def worker(self) -> Worker:
        """The process that grades; a new one if the last was ended."""
        if self._worker is None or self._worker.process.poll() is not None:
            self._worker = Worker(self.source, self.lesson.answers)
        return self._worker

    def executed(self, number: int) -> str | None:
        """The text of the task's cell as it was last run in this kernel, or None."""
        if (name := f"task-{number}") in self.ran:
            return self.ran[name]
        wanted = self.released.task(number).binds or self.exercise.task(number).binds
        locked = {source for _, source in self.exercise.locked} | {t.source for task in self.exercise.tasks for t in task.tests}
        ran = reversed(self.shell.user_ns.get("In", []))
        return next((text for text in ran if wanted and wanted <= bound(text) and text.strip() not in locked), None)

    def on_disk(self, number: int) -> str | None:
        """The text of the task's cell in the saved notebook, or None if the notebook is not found."""
        for path in (Path(os.environ.get("JPY_SESSION_NAME") or "?"), self.lesson.working_exercise):
            with suppress(CourseError, OSError):
                if path.stem == self.lesson.slug and path.is_file():
                    return next((cell["source"] for cell in notebooks.read(path).cells if grade_id(cell) == f"task-{number}"), None)
        return None

    def answer(self, number: int) -> tuple[str, str]:
        """The text to check, and a warning ('' if there is none).

        Raises:
            CourseError: neither run nor saved.
        """
        ran, saved = self.executed(number), self.on_disk(number)
        if ran is None and saved is None:
            raise CourseError(f"Run the cell of task {number} first (Shift+Enter), then check it.")
        if ran is None:
            return saved or "", "This is the version in the saved notebook: the cell has not been run since the kernel started."
        if saved is not None and saved.strip() != ran.strip():
            return ran, "The saved notebook holds another version than the one you last ran. Run the cell again and save (Ctrl+S)."
        return ran, ""

    def check(self, number: int) -> tuple[dict, str]:
        """The result of task ``number`` (as ``Result.as_json``) and the verdict in plain text; the attempt is remembered."""
        task = self.exercise.task(number)
        text, warning = self.answer(number)
        result = next(iter(list(self.worker().grade({number: text}))))
        if result["status"] == "not started":
            return result, f"Task {number} is not started: replace `raise NotImplementedError` by your own lines and run the cell."
        lines = [f"Task {number} · {task.title}: {result['points']:g} of {result['possible']:g} points."]
        if not result["possible"]:
            lines = [f"Task {number} · {task.title}: all its tests are hidden; they are run when your work is graded."]
        elif result["status"] == "passed":
            lines[0] = "✓ " + lines[0]
        lines += [t["message"] for t in result["tests"] if t["message"]][:1]
        if result["diagnosis"]:
            lines.append(f"Your function behaves like one that {result['diagnosis']}.")
        if result["output"]:
            lines.append("It printed:\n" + result["output"].rstrip())
        lines += [warning] if warning else []
        try:
            store.record(self.lesson.slug, [result])
        except (OSError, sqlite3.Error) as problem:
            lines.append(f"(This attempt could not be remembered: {problem}.)")
        return result, "\n".join(lines)

    def hint(self, number: int) -> str:
        """The next rung; after the last one, all of them again."""
        hints = self.exercise.task(number).hints
        if not hints:
            return f"Task {number} has no hints."
        self.shown[number] = min(self.shown[number] + 1, len(hints))
        self._note(number, "hint")
        rungs = [f"Hint {i} of {len(hints)}: {text}" for i, text in enumerate(hints[: self.shown[number]], 1)]
        return "\n".join(rungs)

    def solution(self, number: int, anyway: bool = False) -> str:
        """The author's cell.

        Raises:
            CourseError: no solutions here, or nothing was tried yet.
        """
        if not self.lesson.solution.exists():
            raise CourseError("There are no solutions in this copy of the course: ask whoever gave it to you.")
        if not anyway and not self.attempts(number):
            raise CourseError(f"Check an attempt of your own first. To see it anyway: `%task solution {number} anyway`.")
        self._note(number, "solution")
        lines = self.exercise.task(number).source.split("\n")
        return "\n".join(line for line in lines if line.strip() not in ("### BEGIN SOLUTION", "### END SOLUTION"))

    def written(self) -> str:
        """Model answers and rubrics of the written questions."""
        if not self.lesson.solution.exists():
            raise CourseError("There are no solutions in this copy of the course: ask whoever gave it to you.")
        cells = notebooks.read(self.lesson.solution).cells
        return "\n\n".join(
            c.source
            for c in cells
            if c.cell_type == "markdown" and grade_id(c).startswith("written-") and not grade_id(c).endswith("-text")
        )

    def reset(self, number: int) -> str:
        """The cell as the exercise gives it."""
        if not self.lesson.exercise.exists():
            raise CourseError(f"There is no exercise for {self.lesson.slug} to take the cell from.")
        return self.released.task(number).source

    def attempts(self, number: int) -> int:
        score = self.scores().get(number)
        return score.attempts if score else 0

    def scores(self) -> dict[int, store.Score]:
        try:
            return store.scores(self.lesson.slug)
        except (OSError, sqlite3.Error):
            return {}

    def _note(self, number: int, what: str) -> None:
        with suppress(OSError, sqlite3.Error):  # hints work without a memory
            store.note(self.lesson.slug, number, what)

    def overview(self) -> str:
        """All tasks as lines of plain text."""
        scores = self.scores()
        lines = []
        for task in self.exercise.tasks:
            score = scores.get(task.number)
            state = (
                f"best {score.best:g}, {score.attempts} {'attempt' if score.attempts == 1 else 'attempts'}" if score else "not tried yet"
            )
            lines.append(f"Task {task.number} · {task.title} ({task.label}): {state}")
        return "\n".join(lines)


def silent() -> bool:
    """True where nobody looks: nbgrader, `course run`, the tests."""
    return bool(os.environ.get("NBGRADER_EXECUTION")) or os.environ.get("COURSE_HEADLESS", "") not in ("", "0")


def load_ipython_extension(shell: Any) -> None:
    """Called by ``%load_ext course.exercise``."""
    if os.environ.get("NBGRADER_EXECUTION"):
        warnings.simplefilter("ignore")  # nbgrader counts a line on stderr as a failed test

    def say(work) -> None:
        try:
            work()
        except CourseError as problem:
            print(problem)

    def exercise(line: str) -> None:
        """Show the panel of an exercise: ``%exercise NN_slug``."""
        if silent():
            return

        def show() -> None:
            from IPython.display import display

            from course.panel import panel

            unload_ipython_extension(shell)
            OPEN.append(Session(shell, line.strip()))
            display(panel(OPEN[0]))

        say(show)

    def task(line: str) -> None:
        """Check a task, get a hint, its solution or its first state, in text: ``%task check 2``."""
        if silent():
            return
        say(lambda: _task(shell, OPEN[0] if OPEN else None, line.split()))

    shell.register_magic_function(exercise, "line", "exercise")
    shell.register_magic_function(task, "line", "task")


def unload_ipython_extension(shell: Any) -> None:
    """Ends the process that grades; ``%exercise`` starts a new one."""
    while OPEN:
        OPEN.pop().close()


def _task(shell: Any, session: Session | None, words: list[str]) -> None:
    if session is None:
        raise CourseError("Run the first cell of the exercise (`%exercise …`) before `%task`.")
    if not words:
        print(session.overview())
        return
    command, *rest = words
    if command not in COMMANDS.split(", "):
        raise CourseError(f"`%task {command}` is not known; write `%task check 2`, with one of {COMMANDS}.")
    if command == "solution" and rest[:1] == ["written"]:
        print(session.written())
        return
    if not rest or not rest[0].isdigit():
        raise CourseError(f"Which task? Write `%task {command} 2`.")
    number = session.exercise.task(int(rest[0])).number
    if command == "check":
        print(session.check(number)[1])
    elif command == "hint":
        print(session.hint(number))
    elif command == "solution":
        print(session.solution(number, anyway="anyway" in rest))
    else:
        shell.set_next_input(session.reset(number), replace=True)
        print(f"This cell now holds task {number} as it was at the beginning; your own cell is untouched.")
