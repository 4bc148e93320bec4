"""A warm process that grades: ``Worker`` is this end, ``python -m course.worker SOURCE [ANSWERS]`` the other.

The process imports torch and minilib and runs the exercise's locked cells once, then reads requests (one JSON line each) and answers with
one JSON line a task. `course check` asks once; the panel keeps it, so that a click is answered in a fraction of a second. When this end
goes away, even by kill -9, the other reads the end of its input and ends too.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import course
from course.assemble import ExerciseError
from course.fork import SECONDS

START = 180.0  # seconds that importing torch and running the set-up may take on a slow disk
QUIET = {name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "COURSE_HEADLESS")}


class Worker:
    """Grades answers to one exercise in a process of its own; use it in a ``with``, or call ``close``."""

    def __init__(self, source: Path, answers: Path | None = None):
        here = str(Path(course.__file__).parents[1])
        path = os.pathsep.join(filter(None, (here, os.environ.get("PYTHONPATH", ""))))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "course.worker", str(source), str(answers) if answers and answers.exists() else ""],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | QUIET | {"PYTHONPATH": path, "OBJC_DISABLE_INITIALIZE_FORK_SAFETY": "YES"},
            start_new_session=True,  # Ctrl-C in a terminal reaches this end only, which then closes the other
        )
        self.lines: queue.Queue[bytes] = queue.Queue()
        self.limit = START
        threading.Thread(target=self._listen, daemon=True).start()

    def grade(self, answers: dict[int, str], *, seconds: float = SECONDS) -> Iterator[dict]:
        """One ``Result.as_json()`` a task, in order.

        Raises:
            ExerciseError: the exercise itself cannot be run, or the process is gone.
        """
        request = json.dumps({"answers": answers, "seconds": seconds}) + "\n"
        try:
            assert self.process.stdin
            self.process.stdin.write(request.encode())
            self.process.stdin.flush()
        except (OSError, ValueError):
            pass  # gone already: the lines say why
        while True:
            try:  # the process keeps the limits itself; on a platform without fork this one does
                line = self.lines.get(timeout=self.limit + seconds * 1.5)
            except queue.Empty:
                self.close()
                raise ExerciseError(
                    f"The check took longer than {seconds:g} seconds and was stopped: is there a loop that never ends?"
                ) from None
            found = json.loads(line) if line else {"error": "The process that grades ended before it was done. Is there enough memory?"}
            if "error" in found:
                raise ExerciseError(found["error"])
            if "done" in found:
                self.limit = 10.0  # warm from now on
                return
            yield found

    def _listen(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.lines.put(line)
        self.lines.put(b"")

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(OSError, AttributeError):
                stream.close()  # type: ignore[union-attr]

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def serve(source: Path, known_answers: Path | None) -> None:
    """Answer requests from standard input until it ends."""
    from course import answers, notebooks
    from course.diagnosis import Diagnoser
    from course.grading import Runner

    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what the exercise prints is no reply

    def reply(found: dict) -> None:
        replies.write(json.dumps(found) + "\n")
        replies.flush()

    try:
        runner = Runner(notebooks.read(source))
        diagnoser = None
        if known_answers:
            with contextlib.suppress(ExerciseError):  # a mistake in it is found by its own tests and is no learner's business
                diagnoser = Diagnoser(runner, answers.load(known_answers))
        for line in sys.stdin:
            request = json.loads(line)
            for number, text in sorted((int(n), t) for n, t in request["answers"].items()):
                for result in runner.grade({number: text}, seconds=request["seconds"]):
                    if diagnoser and result.status in ("failed", "partly"):
                        with contextlib.suppress(ExerciseError):
                            result.diagnosis = diagnoser.diagnose(number, text)
                    reply(result.as_json())
            reply({"done": True})
    except Exception as problem:
        known = str(problem) if isinstance(problem, ExerciseError) else f"Grading failed ({type(problem).__name__}: {problem})."
        reply({"error": known})


if __name__ == "__main__":
    serve(Path(sys.argv[1]), Path(sys.argv[2]) if sys.argv[2] else None)
