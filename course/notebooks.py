"""Reading and writing notebooks so that a reader sees one sentence and never loses a file.

Writing goes to a temporary file beside the target, which then takes the target's place in one step: a full disk, a crash or Ctrl-C leaves
the old file as it was.
"""

import contextlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import course
from course.errors import CourseError

if TYPE_CHECKING:
    from nbformat import NotebookNode


def shown(path: Path | str) -> str:
    """`path` as a sentence names it: from the repository's root where it lies inside."""
    with contextlib.suppress(ValueError):
        return Path(path).resolve().relative_to(course.root()).as_posix()
    return str(path)


def read(path: Path) -> "NotebookNode":
    """The notebook at `path`; whatever is wrong with the file becomes a `CourseError`."""
    import json

    import nbformat

    name = shown(path)
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CourseError(f"There is no file {name}.") from None
    except IsADirectoryError:
        raise CourseError(f"{name} is a folder, not a notebook.") from None
    except PermissionError:
        raise CourseError(f"{name} may not be read: check its permissions.") from None
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise CourseError(f"{name} is not a notebook: the file is not JSON; restore it, or save it again from JupyterLab.") from None
    except RecursionError:
        raise CourseError(f"{name} is not a notebook: its JSON is nested too deeply.") from None
    if not isinstance(raw, dict) or "nbformat" not in raw:
        raise CourseError(f"{name} is not a notebook: it is JSON, but names no notebook format.")
    if raw["nbformat"] != 4:
        raise CourseError(f"{name} is in notebook format {raw['nbformat']}, the course reads format 4: open it in JupyterLab and save it.")
    if not raw.get("cells"):
        raise CourseError(f"{name} has no cells.")
    try:
        nb = nbformat.reads(json.dumps(raw), as_version=4)
        nbformat.validate(nb)
    except (nbformat.ValidationError, KeyError, AttributeError, TypeError, ValueError) as error:
        reason = getattr(error, "message", None) or str(error)
        raise CourseError(f"{name} is not a valid notebook: {reason.strip().splitlines()[0][:200]}.") from None
    return nb


def write(path: Path, nb: "NotebookNode") -> None:
    """Put `nb` in the place of `path`, in one step."""
    import nbformat

    write_text(path, nbformat.writes(nb) + "\n")


def write_text(path: Path, text: str) -> None:
    """Put `text` in the place of `path`, in one step, keeping its permissions.

    Raises:
        OSError: no space, no permission; the file at `path` is then unchanged.
    """
    if path.exists() and not os.access(path, os.W_OK):  # os.replace would overwrite a read-only file
        raise PermissionError(13, "read-only", str(path))
    with _beside(path, text) as temporary:
        os.chmod(temporary, path.stat().st_mode & 0o777 if path.exists() else 0o644)
        os.replace(temporary, path.resolve())


def create_text(path: Path, text: str) -> bool:
    """Write `text` to `path` unless a file is already there; True when it was written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with _beside(path, text) as temporary:
        os.chmod(temporary, 0o644)
        try:
            os.link(temporary, path)  # fails if `path` exists: no moment in which a reader's file could be overwritten
        except FileExistsError:
            return False
        except OSError:  # a file system without hard links
            if path.exists():
                return False
            os.replace(temporary, path)
    return True


@contextlib.contextmanager
def _beside(path: Path, text: str):
    """A temporary file with `text` in the folder of `path`; it is gone at the end, whatever happens. Errors name `path`."""
    name = ""
    try:
        handle, name = tempfile.mkstemp(dir=path.resolve().parent, prefix=f".{path.name}.", suffix=".tmp")
        with open(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        yield name
    except OSError as problem:
        raise OSError(problem.errno, problem.strerror, str(path)) from problem
    finally:
        if name:
            Path(name).unlink(missing_ok=True)
