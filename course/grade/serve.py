"""Inside the sandbox: ``python -m course.grade.serve`` answers the grader's messages on standard input.

One sandbox grades one student's submission, so that PyTorch is imported once. Each notebook gets a fork in which its locked cells run;
each task gets a fork of that, which runs the answer and then asks for one test after the other: a test is not in this process, nor in
any file here, before its turn. Only the notebook's process can write to the grader; a task's findings reach it through a pipe.

====================================================  =========================================================
the grader sends                                      it gets
====================================================  =========================================================
``{"notebook": {"locked": …, "tasks": …}}``           ``{"ready": true}`` or ``{"error": sentence}``
``{"task": 2, "source": …, "seconds": …}``            ``{"trouble": ''}``, a finding for each test, then ``{"ended": ''}``
``{"test": {"id", "source", "points"}}``, or null     the finding; null ends the tests
``{"probe": 2, "source": …, "code": …}``              ``{"numbers": …}`` if there are any, ``{"ended": ''}``
``{"close": true}``                                   this notebook is over
====================================================  =========================================================
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys

from course.assemble import Exercise, ExerciseError, Task, Test
from course.fork import Emit, in_fork
from course.grade.frames import Broken, receive, send
from course.grade.intact import Intact
from course.grading import Attempt, Runner

PR_SET_DUMPABLE = 4


def portable(exercise: Exercise) -> dict:
    """What the sandbox may know before a test is due: the locked cells, and of each task the names that it binds and forbids."""
    tasks = [(t.number, sorted(t.binds), sorted(t.forbidden), [test.id for test in t.tests]) for t in exercise.tasks]
    return {"locked": exercise.locked, "tasks": tasks}


def exercise_of(found: dict) -> Exercise:
    """An exercise with the names of ``portable``; its answers and tests are stand-ins."""
    tasks = []
    for number, binds, forbidden, ids in found["tasks"]:
        first = Test(ids[0], f"forbidden = {set(forbidden)!r}" if forbidden else "", 0.0)
        tests = (first, *(Test(name, "", 0.0) for name in ids[1:]))
        tasks.append(Task(number, "", "", 0, 0, (), "\n".join(f"{name} = None" for name in binds), tests, ""))
    return Exercise(tuple((name, source) for name, source in found["locked"]), tuple(tasks), {})


def main() -> None:
    inlet, outlet = os.dup(0), os.dup(1)
    for number in (0, 1):
        os.dup2(os.open(os.devnull, os.O_RDWR), number)
    if sys.platform.startswith("linux"):  # the student's processes have the same user: they may not look into this one
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    import torch

    torch.set_num_threads(1)
    torch.manual_seed = _manual_seed
    with contextlib.suppress(Broken):
        while True:
            if found := receive(inlet).get("notebook"):
                child = os.fork()
                if child == 0:
                    _notebook(found, inlet, outlet)
                    os._exit(0)
                os.waitpid(child, 0)
                send(outlet, {"closed": True})


def _manual_seed(seed):
    """``torch.manual_seed``. TorchDynamo, which an optimiser's first step imports, wraps that name unless it is another function already:
    an honest answer would seem to have replaced what tests rely on."""
    import torch

    return torch.random.manual_seed(seed)


def _notebook(found: dict, inlet: int, outlet: int) -> None:
    """Serve one notebook in this process; whatever happens, it ends."""
    try:
        runner = Runner(exercise_of(found))
        send(outlet, {"ready": True})
        while not (message := receive(inlet)).get("close"):
            if "task" in message:
                work = _task(runner, message, inlet, outlet)
            elif "probe" in message:
                work = _probe(runner, message, outlet)
            else:  # a test whose task has ended meanwhile
                continue
            _, ended = in_fork(work, seconds=message["seconds"], relay=lambda finding: send(outlet, finding))
            send(outlet, {"ended": ended})
    except (Broken, ExerciseError) as problem:
        with contextlib.suppress(Broken):
            send(outlet, {"error": str(problem)})


def _task(runner: Runner, message: dict, inlet: int, outlet: int):
    task = runner.exercise.task(message["task"])

    def work(emit: Emit) -> None:
        os.close(outlet)
        restore = Intact(task.forbidden).restore
        with Attempt(dict(runner.scope), runner.locked, task, message["source"]) as answer:
            emit({"trouble": answer.trouble, "replaced": restore()})
            while (test := receive(inlet)["test"]) is not None:
                found = answer.test(Test(**test))
                emit(found | {"replaced": [*found["replaced"], *restore()]})
            emit({"output": answer.out.getvalue()})

    return work


def _probe(runner: Runner, message: dict, outlet: int):
    """The numbers of an answer on its probe, whose code arrives after the answer has run."""
    from course.diagnosis import numbers

    task = runner.exercise.task(message["probe"])

    def work(emit: Emit) -> None:
        os.close(outlet)
        scope = dict(runner.scope)
        with Attempt(scope, runner.locked, task, message["source"]):
            pass
        names: dict = {}
        exec(compile(message["code"], "<probe>", "exec"), names)
        emit({"numbers": numbers(names[f"PROBE_{task.number}"](scope))})

    return work


if __name__ == "__main__":
    main()
