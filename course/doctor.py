"""`course doctor`: what this machine has, what is missing and how to get it, and what differs from where the stored outputs came from.

Only what the learner's part of the course cannot do without makes it fail.
"""

import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

import course
from course.errors import CourseError

CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
TRITON = """
import torch, triton, triton.language as tl

@triton.jit
def add_one(x, y, n, B: tl.constexpr):
    at = tl.program_id(0) * B + tl.arange(0, B)
    tl.store(y + at, tl.load(x + at, mask=at < n) + 1, mask=at < n)

x = torch.arange(100.0)
y = torch.empty(100)
add_one[(4,)](x, y, 100, B=32)
print("right" if torch.equal(y, x + 1) else "wrong")
"""


@dataclass(frozen=True)
class Finding:
    """One line of the report: `fix` says what to type; without one, all is well. `needed` ones make the command fail."""

    what: str
    found: str
    fix: str = ""
    needed: bool = False


def report() -> int:
    """Print all findings; 1 if something is missing that every learner needs."""
    console = Console(highlight=False)
    view = Table(box=None, pad_edge=False, show_header=False)
    view.add_column(no_wrap=True)
    view.add_column(style="bold", no_wrap=True)
    view.add_column(overflow="fold")
    failing = False
    for finding in findings():
        failing |= finding.needed and bool(finding.fix)
        mark = Text("✓", "green") if not finding.fix else Text("✗", "red") if finding.needed else Text("·", "yellow")
        view.add_row(mark, finding.what, Text(finding.found + (f": {finding.fix}" if finding.fix else "")))
    console.print(view)
    console.print("Something that every lesson needs is missing: see ✗." if failing else "Lessons can run here; a · is optional.")
    return int(failing)


def findings() -> Iterator[Finding]:
    found = platform.python_version()
    yield Finding("Python", found, "" if sys.version_info >= (3, 11) else "install Python 3.11 or newer", needed=True)
    yield _packages()
    yield from _torch()
    yield _kernel()
    yield from _triton()
    yield _program("bubblewrap", ("bwrap",), "only graders need it, on Linux: apt install bubblewrap")
    yield _program("Chromium", CHROMIUM, "only the browser tests need it: apt install chromium")
    yield _installed("nbgrader", 'only instructors need it: pip install -e ".[classroom]"')
    yield _data_folder()
    yield _against_constraints()
    yield _against_outputs()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _packages() -> Finding:
    """Everything that pyproject.toml asks for, by the installed package's own list."""
    try:
        wanted = [re.match(r"[\w.-]+", line)[0] for line in requires("transformers-rebuilt") or [] if "extra ==" not in line]  # type: ignore[index]
    except PackageNotFoundError:
        return Finding("this course", "not installed", "pip install -e . in the repository", needed=True)
    missing = [name for name in wanted if not _version(name)]
    found = f"{', '.join(missing)} missing" if missing else f"all {len(wanted)} packages"
    return Finding("dependencies", found, "pip install -e ." if missing else "", needed=True)


def _torch() -> Iterator[Finding]:
    if not _version("torch"):
        yield Finding("PyTorch", "missing", "pip install torch", needed=True)
        return
    out = _python(
        "import torch; print(torch.__version__); print(torch.cuda.get_device_name() if torch.cuda.is_available() else "
        "'Apple MPS' if torch.backends.mps.is_available() else 'none, and none is needed')"
    )
    lines = out.stdout.splitlines()
    if out.returncode or len(lines) < 2:
        yield Finding("PyTorch", f"does not import ({_last_line(out.stderr)})", "pip install --force-reinstall torch", needed=True)
        return
    yield Finding("PyTorch", lines[-2])
    yield Finding("GPU", lines[-1])


def _kernel() -> Finding:
    """Whether JupyterLab would start its Python 3 with this Python."""
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    fix = f"{sys.executable} -m ipykernel install --sys-prefix"
    try:
        spec = KernelSpecManager().get_kernel_spec("python3")
    except NoSuchKernel:
        return Finding("Jupyter kernel", "none", fix, needed=True)
    program, folder = spec.argv[0], os.path.dirname  # two environments may share one Python behind their links: compare the folders
    if "/" not in program and "\\" not in program or os.path.realpath(folder(program)) == os.path.realpath(folder(sys.executable)):
        return Finding("Jupyter kernel", "python3 is this Python")
    return Finding("Jupyter kernel", f"python3 starts {program}, not this Python", fix, needed=True)


def _triton() -> Iterator[Finding]:
    if not (found := _version("triton")):
        yield Finding("Triton", "missing", 'optional, Linux only: pip install -e ".[triton]"')
        return
    yield Finding("Triton", found)
    with tempfile.TemporaryDirectory() as folder:  # Triton reads a kernel's source from its file
        path = Path(folder) / "add_one.py"
        path.write_text(TRITON)
        out = _python(str(path), env={"TRITON_INTERPRET": "1"})
    said = out.stdout.strip()
    if said == "right":
        yield Finding("Triton's interpreter", "adds one correctly")
    else:
        why = "its numbers are wrong" if said == "wrong" else f"fails ({_last_line(out.stderr)})"
        yield Finding("Triton's interpreter", why, "lessons use the PyTorch form of each kernel; try another version of triton")


def _python(code: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run code, or a file, in a Python of its own."""
    command = [sys.executable, *([code] if code.endswith(".py") else ["-c", code])]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=120, env={**os.environ, **(env or {})})
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 1, "", "no answer within two minutes")


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["no message"])[-1][:160]


def _program(what: str, names: tuple[str, ...], fix: str) -> Finding:
    path = next(filter(None, map(shutil.which, names)), None)
    return Finding(what, path) if path else Finding(what, "not found", fix)


def _installed(name: str, fix: str) -> Finding:
    found = _version(name)
    return Finding(name, found) if found else Finding(name, "not installed", fix)


def _data_folder() -> Finding:
    from platformdirs import user_data_path

    folder = Path(os.environ.get("COURSE_DATA") or user_data_path("transformers-rebuilt"))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"x" * 4096)
    except OSError as problem:
        return Finding("your progress", f"{folder} cannot be written ({problem.strerror})", "set COURSE_DATA to a folder of your own")
    return Finding("your progress", str(folder))


def _against_constraints() -> Finding:
    """Our direct dependencies whose version is not the one in constraints.txt."""
    path, project = course.root() / "constraints.txt", course.root() / "pyproject.toml"
    if not path.exists() or not project.exists():
        return Finding("versions", "constraints.txt is not there", "restore it from the repository")
    pins = dict(line.strip().split("==") for line in path.read_text(encoding="utf-8").splitlines() if re.fullmatch(r"[\w.-]+==\S+", line))
    direct = [re.split(r"[^\w.-]", line)[0] for line in tomllib.loads(project.read_text(encoding="utf-8"))["project"]["dependencies"]]
    apart = [
        f"{name} {here} (there {pins[name]})"
        for name in direct
        if name in pins and (here := _version(name)) and here.partition("+")[0] != pins[name]
    ]
    return (
        Finding("versions", f"differ: {', '.join(apart)}", "make lab LOCKED=1 installs theirs")
        if apart
        else Finding("versions", "as locked")
    )


def _against_outputs() -> Finding:
    """Lessons whose stored outputs were made with another Python or PyTorch than this one."""
    from course import notebooks, syllabus

    here = {"python": f"{sys.version_info.major}.{sys.version_info.minor}", "torch": ".".join((_version("torch") or "none").split(".")[:2])}
    seen: dict[str, int] = {}
    try:
        for lesson in syllabus.load().lessons:
            if lesson.notebook.exists() and (made := notebooks.read(lesson.notebook).metadata.get("course", {})).get("code_hash"):
                there = " and ".join(f"{name.capitalize()} {made.get(name)}" for name in here if made.get(name) != here[name])
                seen[there] = seen.get(there, 0) + 1
    except CourseError as problem:
        return Finding("stored outputs", "cannot be read", str(problem))
    apart = [f"{count} with {there}" for there, count in seen.items() if there]
    if apart:
        return Finding("stored outputs", f"come from elsewhere, {', '.join(apart)}", "figures may differ in their last digits")
    return Finding("stored outputs", f"of {sum(seen.values())} lessons, all made with this Python and PyTorch")
