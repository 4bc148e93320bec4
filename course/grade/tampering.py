"""What was done to a notebook besides answering it, and what in an answer an instructor should look at.

``mended``       puts back removed, doubled and retyped cells, so that one of them costs its own points only; says what was changed
``suspicious``   names in an answer that no task needs: they cost nothing, they are listed
``repeats``      whether a message to the student holds code of a test
"""

from __future__ import annotations

import ast
import copy
from typing import Any

from course.assemble import ExerciseError, grade_id, is_answer

MODULES = {
    *("os", "sys", "builtins", "importlib", "course", "gc", "inspect", "ctypes", "atexit", "signal", "subprocess", "socket"),
    *("threading", "multiprocessing", "urllib", "requests", "IPython", "select", "mmap", "fcntl"),
}
RUN = 20  # characters of a test's code that no message repeats by chance
NAMES = {
    *("get_ipython", "_getframe", "settrace", "setprofile", "_exit", "fork", "get_objects", "exec", "eval", "__import__"),
    *("get_referrers", "f_back", "__subclasses__", "__code__", "TorchFunctionMode", "TorchDispatchMode"),
    *("__eq__", "__ne__", "__bool__", "__float__", "__repr__", "__array__", "__torch_function__", "__torch_dispatch__"),
}


def mended(submitted: Any, released: Any) -> tuple[Any, list[str]]:
    """The submission with every cell of the release in it once, and what had been changed.

    Raises:
        ExerciseError: it holds none of the answers' cells: another exercise's notebook.
    """
    theirs: dict[str, list[Any]] = {}
    for cell in submitted["cells"]:
        if name := grade_id(cell):
            theirs.setdefault(name, []).append(cell)
    if not any(grade_id(cell) in theirs for cell in released["cells"] if is_answer(cell)):
        raise ExerciseError("None of this exercise's cells are in the notebook: is it another lesson's, or was it made anew?")
    whole, flags = copy.deepcopy(released), []
    for cell in whole["cells"]:
        name = grade_id(cell)
        if not name:
            continue
        found = theirs.get(name, [])
        if not found:
            flags.append(f"the cell {name} was removed (put back)")
            continue
        if len(found) > 1:
            flags.append(f"the cell {name} is there {len(found)} times (joined)")
        text = "\n".join(str(one["source"]) for one in found)
        if not is_answer(cell):
            flags += [f"the locked cell {name} was edited (put back)"] * (text.strip() != cell["source"].strip())
        else:
            flags += [f"the cell {name} was of type {found[0]['cell_type']}"] * (found[0]["cell_type"] != cell["cell_type"])
            cell["source"] = text
        before, after = cell["metadata"]["nbgrader"], found[0]["metadata"]["nbgrader"]
        changed = [key for key in ("points", "grade", "solution", "locked") if before.get(key) != after.get(key)]
        flags += [f"{' and '.join(changed)} of the cell {name} {'were' if len(changed) > 1 else 'was'} changed (no effect)"] * bool(changed)
    return whole, flags


def suspicious(source: str) -> list[str]:
    """``uses gc``, ``uses sys._getframe`` … in the order of the answer's text."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    found: list[str] = []
    for node in ast.walk(tree):
        names = [alias.name.partition(".")[0] for alias in node.names] if isinstance(node, ast.Import) else []
        names += [(node.module or "").partition(".")[0]] if isinstance(node, ast.ImportFrom) else []
        found += [f"uses {name}" for name in names if name in MODULES]
        name = next((str(getattr(node, field)) for field in ("id", "attr", "name") if getattr(node, field, None)), "")
        found += [f"uses {name}"] * (name in NAMES)
    return list(dict.fromkeys(found))


def repeats(message: str, tests: list[str], answer: str) -> bool:
    """True if twenty characters of a message are code of a test, and neither its sentence nor text of the answer. Blanks do not count."""
    said, own = "".join(message.split()), "".join(answer.split())
    for test in tests:
        texts = [node.value for node in ast.walk(ast.parse(test)) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
        left = said
        for text in sorted(("".join(text.split()) for text in texts), key=len, reverse=True):
            left = left.replace(text, "\0") if text else left
        code = "".join(test.split())
        pieces = {left[i : i + RUN] for i in range(len(left) - RUN + 1)}
        if any(piece in code and piece not in own for piece in pieces):
            return True
    return False
