"""What a class folder's ``nbgrader_config.py`` sets: plain ``nbgrader autograde`` and formgrader's button use the course's sandbox.

``DropRubric``   takes rubrics and model answers' notes out of what students get
``Execute``      runs notebooks in a sandboxed kernel; clears IPython's hooks before each test, and flags a notebook that has set some;
                 keeps output within bounds
``LateRule``     the rule of ``settings.toml``, the same for nbgrader and for ``course grade run``
"""

from __future__ import annotations

import ast
import contextlib
import queue
from pathlib import Path
from typing import Any

from jupyter_core.utils import ensure_async, run_sync
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat.v4 import new_output
from nbgrader import api
from nbgrader.converters.autograde import Autograde
from nbgrader.converters.generate_assignment import GenerateAssignment
from nbgrader.plugins import BasePlugin
from nbgrader.preprocessors import Execute as PlainExecute
from nbgrader.preprocessors import NbGraderPreprocessor
from nbgrader.utils import is_grade, is_solution
from traitlets import Unicode

from course.grade.folder import Folder
from course.grade.late import penalty
from course.grade.provisioner import SandboxedKernelManager
from course.release import STUB, drop_rubric

DIED = "The kernel ended here: the notebook shut it down, crashed it, or used more than it may."
OUTPUT = 4 << 20  # bytes of output of one notebook
CLEAR = """
def _(shell=get_ipython()):
    import sys, threading
    changed, ours = [], ("IPython", "ipykernel", "matplotlib_inline")
    for name, callbacks in shell.events.callbacks.items():
        kept = [f for f in callbacks if (getattr(f, "__module__", "") or "").partition(".")[0] in ours]
        changed += [name] * (len(kept) < len(callbacks))
        callbacks[:] = kept
    for name in ("ast_transformers", "input_transformers_post", "custom_exceptions"):
        changed += [name] * bool(getattr(shell, name))
    shell.ast_transformers.clear()
    shell.input_transformers_post.clear()
    shell.input_transformer_manager.__init__()
    shell.custom_exceptions = ()
    changed += [name for name in ("run_cell", "showtraceback") if shell.__dict__.pop(name, None)]
    changed += ["a trace function"] * bool(sys.gettrace() or sys.getprofile())
    sys.settrace(None), sys.setprofile(None), threading.settrace(None)
    return changed
_course_hooks = _()
del _
"""


def configure(config: Any, file: str) -> None:
    """Set up nbgrader for the class folder that holds ``file``."""
    config.CourseDirectory.root = str(Path(file).resolve().parent)
    config.CourseDirectory.course_id = "transformers-rebuilt"
    config.ClearSolutions.code_stub = {"python": STUB}
    config.GenerateAssignment.preprocessors = [DropRubric, *GenerateAssignment.preprocessors.default_args[0]]
    steps = Autograde.autograde_preprocessors.default_args[0]
    config.Autograde.autograde_preprocessors = [Execute if step is PlainExecute else step for step in steps]
    config.AssignLatePenalties.plugin_class = LateRule
    config.LateRule.root = str(Path(file).resolve().parent)
    config.NbGrader.logfile = ""


class DropRubric(NbGraderPreprocessor):
    """Takes the rubric and the model answer's notes out of what students get."""

    def preprocess(self, nb, resources):
        return drop_rubric(nb), resources


class Execute(PlainExecute):
    """nbgrader's own execution, in a sandbox."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, kernel_manager_class=SandboxedKernelManager, **kwargs)
        self.written, self.reached = 0, 0
        self.hooks = []

    def preprocess(self, nb, resources, km=None):
        """A kernel that dies or does not come back costs the cells from there on, not the grader's evening."""
        try:
            nb, resources = super().preprocess(nb, resources, km)
        except (DeadKernelError, CellTimeoutError):
            for cell in nb.cells[self.reached :]:
                if cell.cell_type == "code":
                    cell.outputs = [new_output("error", ename="DeadKernelError", evalue=DIED, traceback=[DIED])]
        if self.hooks:
            self._flag(resources["nbgrader"])
        return nb, resources

    def _flag(self, where: dict) -> None:
        """Flag the notebook in the gradebook, where formgrader shows it, and say why in the log."""
        self.log.warning("%s has set %s before a test", where["student"], ", ".join(dict.fromkeys(self.hooks)))
        with api.Gradebook(where["db_url"]) as book:
            book.find_submission_notebook(where["notebook"], where["assignment"], where["student"]).flagged = True
            book.db.commit()

    def preprocess_cell(self, cell, resources, index):
        self.reached = index
        if cell.cell_type == "code" and is_grade(cell) and not is_solution(cell):
            self.hooks += run_sync(self._clear)()
        return super().preprocess_cell(cell, resources, index)

    async def _clear(self) -> list[str]:
        """Clear IPython's hooks: the names of those that were set, as far as the kernel tells the truth."""
        sent = self.kc.execute(CLEAR, silent=True, store_history=False, user_expressions={"changed": "_course_hooks"})
        with contextlib.suppress(queue.Empty, KeyError, ValueError, SyntaxError, TypeError):
            while (reply := await ensure_async(self.kc.get_shell_msg(timeout=10)))["parent_header"].get("msg_id") != sent:
                pass
            found = ast.literal_eval(reply["content"]["user_expressions"]["changed"]["data"]["text/plain"])
            return [str(name)[:100] for name in found][:20]
        return []

    def process_message(self, msg, cell, cell_index):
        """Drops what a notebook prints beyond a bound, comms and widgets too."""
        if msg["msg_type"] not in ("status", "execute_input", "error"):
            self.written += len(str(msg["content"]))
            if self.written > OUTPUT:
                return None
        return super().process_message(msg, cell, cell_index)


class LateRule(BasePlugin):
    """``settings.toml``'s rule for nbgrader."""

    root = Unicode("", help="The class folder.").tag(config=True)

    def late_submission_penalty(self, student_id: str, score: float, total_seconds_late: float) -> float | None:
        return penalty(Folder(Path(self.root)).settings["late"], score, total_seconds_late) or None
