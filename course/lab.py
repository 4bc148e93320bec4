"""`course lab`: JupyterLab on the reader's own copy of a lesson.

Nobody works in `chapters/`. A copy in `work/` is made once and never overwritten: outputs cleared, and steps tagged `blank` emptied, with
the author's version folded below them.
"""

import ast
import contextlib
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import course
from course import notebooks
from course.errors import CourseError
from course.syllabus import Lesson

if TYPE_CHECKING:
    from nbformat import NotebookNode

START = "how_this_course_works"
BEGIN, END = re.compile(r"^\s*# blank: begin\s*$"), re.compile(r"^\s*# blank: end\s*$")


def working_copy(lesson: Lesson) -> tuple[Path, bool]:
    """The reader's copy of `lesson`, and whether it was made just now.

    Raises:
        CourseError: the lesson has no notebook yet, or it cannot be read.
    """
    if lesson.working_copy.exists():
        return lesson.working_copy, False
    if not lesson.notebook.exists():
        raise CourseError(f"{lesson.slug} has no notebook yet; `course list` shows which lessons there are.")
    import nbformat

    nb = learners_version(notebooks.read(lesson.notebook), lesson)
    return lesson.working_copy, notebooks.create_text(lesson.working_copy, nbformat.writes(nb) + "\n")


def learners_version(nb: "NotebookNode", lesson: Lesson) -> "NotebookNode":
    """A lesson as a learner gets it: no outputs, blanks empty, links to other lessons leading back to `chapters/`."""
    from nbformat.v4 import new_markdown_cell

    cells = []
    for number, cell in enumerate(nb.cells, start=1):
        cells.append(cell)
        if cell.cell_type == "markdown":
            cell.source = re.sub(r"\]\(((?:\.\./\w+/)?\w+\.ipynb)", lambda link: f"]({_back(link[1], lesson)}", cell.source)
        elif cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
            if "blank" in cell.metadata.get("tags", []):
                try:
                    cell.source, author = emptied(cell.source)
                except ValueError as problem:
                    raise CourseError(f"{notebooks.shown(lesson.notebook)}, cell {number} is tagged `blank`, but {problem}.") from None
                fold = f"<details><summary>The author's version</summary>\n\n```python\n{author}\n```\n\n</details>"
                cells.append(new_markdown_cell(fold))
    nb.cells = cells
    nb.metadata.pop("course", None)  # the hash speaks of outputs that are no longer there
    return nb


def emptied(source: str) -> tuple[str, str]:
    """A cell without its author's lines, and these lines.

    What stands between the lines `# blank: begin` and `# blank: end` goes; without them, the body of the cell's only function, of which
    signature and docstring stay.

    Raises:
        ValueError: neither the marks nor exactly one function.
    """
    lines = source.splitlines()
    begin = next((i for i, line in enumerate(lines) if BEGIN.match(line)), None)
    end = next((i for i, line in enumerate(lines) if END.match(line)), None)
    if begin is not None and end is not None and begin < end:
        author = lines[begin + 1 : end]
        indent = lines[begin][: len(lines[begin]) - len(lines[begin].lstrip())]
        return "\n".join([*lines[:begin], indent + _yours(author), *lines[end + 1 :]]), "\n".join(author)
    try:
        functions = [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)]
    except SyntaxError as error:
        raise ValueError(f"Python cannot read it ({error.msg})") from None
    if len(functions) != 1:
        raise ValueError(f"it defines {len(functions)} functions: mark what to empty with `# blank: begin` and `# blank: end`")
    function = functions[0]
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    if not body:
        raise ValueError("its function has no body to empty")
    first, last = _first_line(body[0]), body[-1].end_lineno
    if before := lines[first - 1][: body[0].col_offset].strip():  # `def f(x): return x` on one line
        head = [before]
    else:
        while lines[first - 2].strip().startswith("#"):  # comments on the first line
            first -= 1
        head = lines[: first - 1]
    whole = lines[_first_line(function) - 1 : last]
    return "\n".join([*head, " " * 4 + _yours(lines[first - 1 : last]), *lines[last:]]), "\n".join(whole)


def _first_line(node: ast.stmt) -> int:
    return min([node.lineno, *(decorator.lineno for decorator in getattr(node, "decorator_list", []))])


def _yours(author: list[str]) -> str:
    count = sum(bool(line.strip()) and not line.strip().startswith("#") for line in author)
    return f"...  # your {count} line{'s' * (count != 1)}"


def _back(link: str, lesson: Lesson) -> str:
    """A link between lessons, as it must be written one folder aside, in `work/`."""
    target = (lesson.notebook.parent / link).resolve()
    chapters = lesson.root / "chapters"
    return f"../../chapters/{target.relative_to(chapters).as_posix()}" if target.is_relative_to(chapters) else link


def open_lab(notebook: Path, extra: list[str], *, browser: bool, port: int | None) -> int:
    """Start JupyterLab at `notebook`, print its address, and stay until it ends; returns its exit code."""
    command = [sys.executable, "-m", "jupyterlab", str(notebook), f"--ServerApp.root_dir={course.root()}", "--ServerApp.answer_yes=True"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:  # a container; Jupyter would refuse to start
        command.append("--allow-root")
    command += ["--log-level=WARN", *["--no-browser"] * (not browser), *[f"--port={port}"] * (port is not None), *extra]
    # no window that asks about news on the first day, and no request to its server
    settings = os.pathsep.join(filter(None, [str(Path(__file__).parent / "jupyter"), os.environ.get("JUPYTER_CONFIG_PATH")]))
    server = subprocess.Popen(command, env=os.environ | {"JUPYTER_CONFIG_PATH": settings})
    try:
        if address := _address(server, notebook):
            print(f"JupyterLab is at {address}\nCtrl-C here ends it; your work is in {notebooks.shown(notebook)}.", flush=True)
        return server.wait()
    except KeyboardInterrupt:
        return 0
    finally:
        server.terminate()  # it closes its kernels
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(10)
        server.kill()


def _address(server: subprocess.Popen, notebook: Path, patience: float = 60.0) -> str | None:
    """The address of the notebook in the server just started, once it answers."""
    from urllib.parse import quote, urlencode

    from jupyter_server.serverapp import list_running_servers

    until = time.monotonic() + patience
    while time.monotonic() < until and server.poll() is None:
        for running in list_running_servers():
            if running["pid"] == server.pid and _answers(running["hostname"], running["port"]):
                page = quote(notebook.relative_to(course.root()).as_posix())
                return f"{running['url']}lab/tree/{page}" + (f"?{urlencode({'token': running['token']})}" if running["token"] else "")
        time.sleep(0.2)
    return None


def _answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), 1).close()
    except OSError:  # the server writes down its address a little before it listens
        return False
    return True
