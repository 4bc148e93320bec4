"""`course grade …` in which one function goes wrong, once: python dying.py MODULE.FUNCTION before|after|full|poison MARKER WORDS…

`before` and `after` kill the process that calls it, as kill -9 does; `full` raises what a full disk raises. MARKER is a file that says that
it has happened. `poison` kills every time, but in the job of one student only, whose name MARKER ends with. Worker processes import this
file too, so that the function may be one of theirs.
"""

import errno
import importlib
import os
import signal
import sys
from pathlib import Path

where, how, marker = sys.argv[1], sys.argv[2], Path(sys.argv[3])
module_name, _, function_name = where.rpartition(".")
module = importlib.import_module(module_name)
original = getattr(module, function_name)


def going_wrong(*args, **kwargs):
    if how == "poison" and args[1].student == marker.name:
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "poison" or marker.exists():
        return original(*args, **kwargs)
    found = original(*args, **kwargs) if how == "after" else None
    try:
        marker.touch(exist_ok=False)  # one process only
    except FileExistsError:
        return found if how == "after" else original(*args, **kwargs)
    if how == "full":
        raise OSError(errno.ENOSPC, "No space left on device", str(args[0]))
    os.kill(os.getpid(), signal.SIGKILL)


setattr(module, function_name, going_wrong)

if __name__ == "__main__":
    from course.cli import main

    main(["grade", *sys.argv[4:]])
