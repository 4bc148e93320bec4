"""An error in a learner's answer as one short sentence, with the learner's own line and never a traceback."""

from __future__ import annotations

import ast
import traceback

from course.forbidden import Forbidden

NOT_STARTED = "not started"


def unreadable(source: str) -> str:
    """Why a cell cannot even be compiled, or ''."""
    for number, line in enumerate(source.splitlines(), 1):
        if line.startswith(("%", "!", "?")):
            return f"Line {number} is a notebook command (`{line.strip()[:60]}`); only Python is graded, so remove it from this cell."
    try:
        compile(ast.parse(source), "<answer>", "exec")
    except SyntaxError as error:
        text = (error.text or "").strip()
        return f"Python cannot read line {error.lineno}" + (f" (`{text[:80]}`)" if text else "") + f": {error.msg}."
    except (ValueError, RecursionError, MemoryError, OverflowError):
        return "Python cannot read this cell: it is nested too deeply or holds characters that are not text."
    return ""


def explain(error: BaseException, learner: str, lines: list[str]) -> str:
    """The sentence for an error; ``learner`` is the file name under which the answer was compiled, ``lines`` its text."""
    try:
        return _explain(error, learner, lines)
    except Exception:  # an exception whose own methods raise
        return f"Your code raised an error ({type(error).__name__})."


def _explain(error: BaseException, learner: str, lines: list[str]) -> str:
    if isinstance(error, Forbidden):
        return str(error)
    text = " ".join(str(error).split())[:400]
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == learner]
    line = lines[frames[-1].lineno - 1].strip() if frames and 0 < (frames[-1].lineno or 0) <= len(lines) else ""
    if isinstance(error, NotImplementedError) and line.startswith("raise NotImplementedError"):
        return NOT_STARTED
    where = f" (your line {frames[-1].lineno}: `{line[:80]}`)" if line else ""
    name = type(error).__name__
    if isinstance(error, (SystemExit, KeyboardInterrupt)):
        return f"Your code tries to end the program ({name}){where}; remove that."
    if isinstance(error, MemoryError) or "can't allocate memory" in text:
        return f"Your code asks for more memory than a task may use{where}. What is its largest tensor?"
    if isinstance(error, RecursionError):
        return f"Your code calls itself without end{where}."
    if isinstance(error, EOFError) and "input(" in line:
        return f"Your code waits for someone to type{where}; a graded cell cannot ask."
    if isinstance(error, AssertionError) and not line:
        return text or "A test failed."
    if isinstance(error, NameError):
        missing = getattr(error, "name", None) or text
        if line:
            return f"`{missing}` is not defined{where}. Only this task's own cell is run: what it needs has to be in it."
        return f"The tests look for `{missing}`, which your cell does not define: keep the name that the task asks for."
    if line:
        return f"{name}: {text}{where}."
    if "NoneType" in text:
        return "The tests got None from your code: does it `return` its result on every path?"
    return f"The tests cannot use what your code returned ({name}: {text}). Compare its type and shape with what the task asks for."
