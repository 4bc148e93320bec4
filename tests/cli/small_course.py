"""A small course in a temporary folder, and a way to type commands at it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from course.cli import main

SYLLABUS = """
[[chapter]]
number = 0
slug = "00_start"
title = "Start here"

[[chapter]]
number = 3
slug = "03_state_spaces"
title = "State spaces"

[[lesson]]
slug = "00_how_this_course_works"
kind = "start"
chapter = "00_start"
title = "How this course works"
minutes = 20

[[lesson]]
slug = "01_the_transformer"
kind = "start"
chapter = "00_start"
title = "The transformer"
requires = ["00_start/00_how_this_course_works"]
minutes = 75

[[lesson]]
number = 1
slug = "01_zero_shot"
kind = "method"
chapter = "03_state_spaces"
title = "Zero-shot"
minutes = 60

[[lesson]]
number = 13
slug = "13_mamba"
kind = "method"
chapter = "03_state_spaces"
title = "Mamba"
arxiv = "2312.00752"
requires = ["00_start/01_the_transformer"]
minutes = 60
time_limit = 20

[[lesson]]
number = 14
slug = "14_mambamixer"
kind = "method"
chapter = "03_state_spaces"
title = "MambaMixer"
requires = ["03_state_spaces/13_mamba"]
minutes = 60
why = "one line"
"""


def claim(name: str, verdict: str = '"reproduced"', stable: bool = True) -> str:
    """Code that stores a claim; `verdict` is an expression."""
    row = {"lesson": "13_mamba", "id": name, "claim": "it works", "paper": "1.0", "measured": "0.9", "rule": "> 0.5", "stable": stable}
    data = f'{{"application/vnd.course.claims+json": [{row} | {{"verdict": {verdict}}}], "text/plain": "{name}"}}'
    return f"from IPython.display import display\ndisplay({data}, raw=True)"


class Course:
    """The temporary course: `write` a lesson, `type` a command; `lesson` is the notebook of 13_mamba."""

    def __init__(self, root: Path, capsys):
        self.root, self.capsys = root, capsys
        self.lesson = root / "chapters/03_state_spaces/13_mamba.ipynb"
        self.lesson.parent.mkdir(parents=True)
        (root / "chapters/00_start").mkdir()
        (root / "chapters/syllabus.toml").write_text(SYLLABUS)

    def write(self, *cells: str, path: Path | None = None, **tags: list[str]) -> Path:
        """A notebook of these cells, Markdown where they begin with #; `cell_1=[…]` gives the second one tags."""
        path = path or self.lesson
        made = [new_markdown_cell(text) if text.startswith(("# ", "## ", "### ")) else new_code_cell(text) for text in cells]
        for name, value in tags.items():
            made[int(name.removeprefix("cell_"))].metadata.tags = value
        path.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(new_notebook(cells=made), path)
        return path

    def read(self, path: Path | None = None):
        return nbformat.read(path or self.lesson, as_version=4)

    def type(self, *words: str) -> tuple[int, str, str]:
        """Exit code, stdout and stderr of `course …`, in this process."""
        self.capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main(list(words))
        out, err = self.capsys.readouterr()
        assert "Traceback" not in out + err
        return end.value.code or 0, out, err

    def start(self, *words: str, **env: str) -> subprocess.Popen[str]:
        """`python -m course …` in a process of its own."""
        command = [sys.executable, "-m", "course", *words]
        pipe = subprocess.PIPE
        listen = (
            None if os.name == "nt" else lambda: signal.signal(signal.SIGINT, signal.default_int_handler)
        )  # a job in the background ignores it
        return subprocess.Popen(command, cwd=self.root, env={**os.environ, **env}, text=True, stdout=pipe, stderr=pipe, preexec_fn=listen)
