"""One HTML page a student: points, the sentence of the first failing test, what the answer behaves like, hints, comments.

Everything is text: whatever a submission contains is escaped, its outputs are not shown, and the page forbids scripts and any address to
load from. Tests appear by their result alone: no line of a hidden test and no traceback is here.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any

from jinja2 import Environment

from course.assemble import parse
from course.grade import gradebook
from course.grade.collect import origin_of
from course.grade.folder import Assignment, Folder, place
from course.grade.statistics import results
from course.notebooks import read

PAGE = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ assignment }}: {{ name }}</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 48rem; margin: 2rem auto; padding: 0 1rem; color: #222; background: #fff }
h1 { font-size: 1.5rem } h2 { font-size: 1.2rem; border-top: 1px solid #bbb; padding-top: 1rem }
h3 { font-size: 1rem; margin-bottom: .2rem } pre { background: #f4f4f4; padding: .6rem; overflow-x: auto; white-space: pre-wrap }
.full { color: #1a6e1a } .part { color: #8a5a00 } .none { color: #a02020 }
</style>
</head>
<body>
<h1>{{ assignment }}: {{ name }}</h1>
<p><strong>{{ '%g' % book.points }} of {{ '%g' % book.possible }} points</strong>
{%- if book.penalty %}, after {{ '%g' % book.penalty }} for handing in late{% endif %}.
{% if book.to_read %}Not all of it has been read by a person yet.{% endif %}</p>
{% macro folded(title, text) %}<details><summary>{{ title }}</summary><pre>{{ text }}</pre></details>{% endmacro %}
{% for part in parts %}
<h2>{{ part.title }}</h2>
{% if part.problem %}<p>{{ part.problem }}</p>{% endif %}
{% for task in part.tasks %}
<h3>Task {{ task.number }} · {{ task.title }}:
<span class="{{ task.mark }}">{{ '%g' % task.points }} of {{ '%g' % task.possible }}</span></h3>
{% if task.message %}<p>{{ task.message }}</p>{% endif %}
{% if task.diagnosis %}<p>Your function behaves like one that {{ task.diagnosis }}.</p>{% endif %}
{% for comment in task.comments %}<p>Comment: {{ comment }}</p>{% endfor %}
{% for hint in task.hints %}{{ folded("Hint %d" % loop.index, hint) }}{% endfor %}
{% if task.source %}{{ folded("Your answer", task.source) }}{% endif %}
{% endfor %}
{% for question in part.written %}
<h3>Written question:
{% if question.read %}{{ '%g' % question.points }} of {{ '%g' % question.possible }}{% else %}not read yet{% endif %}</h3>
{% for comment in question.comments %}<p>Comment: {{ comment }}</p>{% endfor %}
<pre>{{ question.text or 'No answer.' }}</pre>
{% endfor %}
{% endfor %}
</body>
</html>
""")
NOT_STARTED = "You have not started this task."


def feedback(folder: Folder, assignment: Assignment, tell: Callable[[str], None] = lambda _: None) -> tuple[list[str], str]:
    """Write feedback/NAME/STUDENT.html and feedback/NAME.zip; the students, and the zip's path."""
    with gradebook.opened(folder) as book:
        gradebook.apply_late_rule(book, folder, assignment.name)
        graded = gradebook.entered(book, assignment.name)
        scores = {student: found for student, found in gradebook.scores(book, assignment.name).items() if student in graded}
    every, home = results(folder, assignment.name), folder.path / "feedback"
    exercises = {path.stem: parse(read(path)) for path in folder.sources(assignment.name)}
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for student, found in scores.items():
            if student in every:
                page = page_of(folder, assignment, student, found, every[student], exercises)
                place(home / assignment.name / f"{student}.html", page)
                archive.writestr(returned(folder, assignment.name, student, sorted(exercises)), page)
            tell(student)
    place(home / f"{assignment.name}.zip", packed.getvalue())
    return sorted(set(scores) & set(every)), str(home / f"{assignment.name}.zip")


def page_of(folder: Folder, assignment: Assignment, student: str, book: dict, found: dict, exercises: dict[str, Any]) -> str:
    name = folder.students[student].name if student in folder.students else student
    parts = [_part(lesson, exercises[lesson], part, book) for lesson, part in found["notebooks"].items() if lesson in exercises]
    return PAGE.render(assignment=assignment.name, name=name, book=book, parts=parts)


def _part(lesson: str, exercise: Any, part: dict, book: dict) -> dict:
    tasks = []
    for task in part["tasks"]:
        cells = {name: score for name, score in book["cells"].items() if re.match(rf"{lesson}/task-{task['task']}(-|$)", name)}
        points, possible = sum(p for p, _ in cells.values()), sum(most for _, most in cells.values())
        whole = points >= possible
        tasks.append(
            {
                "number": task["task"],
                "title": task["title"],
                "points": points,
                "possible": possible,
                "mark": "full" if whole else "part" if points else "none",
                "message": "" if whole else NOT_STARTED if task["status"] == "not started" else task["message"],
                "diagnosis": "" if whole else task["diagnosis"],
                "hints": [] if whole else exercise.task(task["task"]).hints,
                "source": task["source"],
                "comments": _comments(book, f"{lesson}/task-{task['task']}"),
            }
        )
    written = []
    for name, text in part["written"].items():
        points, possible = book["cells"].get(f"{lesson}/{name}", (0.0, 0.0))
        read_by = f"{lesson}/{name}" not in book["to_read"]
        comments = _comments(book, f"{lesson}/{name}")
        written.append({"text": text, "points": points, "possible": possible, "read": read_by, "comments": comments})
    return {"title": lesson, "problem": part["problem"], "tasks": tasks, "written": written}


def _comments(book: dict, cell: str) -> list[str]:
    return [text for name, text in book["comments"].items() if name == cell]


def returned(folder: Folder, assignment: str, student: str, lessons: list[str]) -> str:
    """The page's name in the zip, by which a platform finds the student: that of its own export, where there was one."""
    origin = next(filter(None, (origin_of(folder, assignment, student, lesson) for lesson in lessons)), "")
    parts = PurePosixPath(origin.replace("\\", "/")).parts
    moodle = next((part for part in parts if "_assignsubmission_" in part), "")
    if moodle:
        return f"{moodle.partition('_assignsubmission_')[0]}_assignsubmission_file_/feedback.html"
    if parts and re.match(r"[^_]+_(LATE_)?\d+_\d+_", parts[-1]):
        return f"{parts[-1].removesuffix('.ipynb')}.html"
    return f"{student}/feedback.html"
