"""The README's two commands as a newcomer meets them: ``python benchmarks/newcomer.py [--python python3.12] [--lowest] [--quick]``.

Clones the last commit into an empty folder, gives it an empty home and no input, and runs there ``make lab`` until the server answers, then
``make test``. Root hands both to the user *nobody*, if *nobody* may run that Python. Prints minutes, megabytes on disk and over the
network; a question that somebody should have answered ends a command with an error, since nothing can be typed. ``--lowest`` installs the
smallest version of every range in ``pyproject.toml`` instead of the newest.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
import urllib.request
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parent.parent
PATIENCE = 3600  # seconds for `make lab`; on a slow line most of them are PyTorch's


def received() -> float:
    """Megabytes that this machine has received since it started, loopback left out; NaN where the system does not say."""
    try:
        lines = Path("/proc/net/dev").read_text().splitlines()[2:]
    except OSError:
        return float("nan")
    return sum(int(line.split()[1]) for line in lines if not line.strip().startswith("lo:")) / 1e6


def occupied(folder: Path) -> float:
    """Megabytes on disk."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink()) / 1e6


def lowest() -> str:
    """Pip constraints: the smallest version that each range of pyproject.toml allows."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    ranges = project["dependencies"] + sum(project["optional-dependencies"].values(), [])
    found = [re.match(r"([\w.-]+)(?:\[[\w,]+\])?>=([\w.]+)", text) for text in ranges]
    return "\n".join(f"{match[1]}=={match[2]}" for match in found if match) + "\n"


def stranger(python: str) -> str | None:
    """Whom root can hand this to: *nobody*, if they may run this Python."""
    if os.geteuid() != 0:
        return None
    try:
        return "nobody" if subprocess.run([python, "-c", "import ensurepip"], user="nobody", cwd="/").returncode == 0 else None
    except OSError:
        return None


def answers(course: Path, run: dict) -> bool:
    """Whether the JupyterLab of this clone answers."""
    jupyter = course / ".venv/bin/jupyter"
    if not jupyter.exists():
        return False
    listed = subprocess.run([jupyter, "server", "list", "--json"], capture_output=True, text=True, **run).stdout
    for line in listed.splitlines():
        server = json.loads(line)
        try:
            with urllib.request.urlopen(f"{server['url']}lab?token={server['token']}", timeout=10) as page:
                return page.status == 200
        except OSError:
            pass
    return False


def lab(course: Path, python: str, run: dict) -> str:
    """`make lab` until its server answers; what went wrong, or nothing."""
    with tempfile.TemporaryFile("w+") as log:
        make = subprocess.Popen(
            ["make", "lab", f"PYTHON={python}"], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, **run
        )
        until = time.monotonic() + PATIENCE
        try:
            while make.poll() is None and time.monotonic() < until:
                if answers(course, run):
                    return ""
                time.sleep(1)
            log.seek(0)
            return " ".join(log.read().split())[-400:] or "no server"
        finally:
            subprocess.run(["pkill", "-TERM", "-s", str(make.pid)])
            make.wait()


def tests(python: str, goal: str, run: dict) -> str:
    """`make test` or `make quick`; its last words where it failed, or nothing."""
    done = subprocess.run(
        ["make", goal, f"PYTHON={python}"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **run
    )
    return "" if done.returncode == 0 else " ".join(done.stdout.decode(errors="replace").split())[-400:]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default="python3", help="the interpreter for `make PYTHON=…`; 3.11 or newer")
    parser.add_argument("--lowest", action="store_true", help="the smallest versions instead of the newest")
    parser.add_argument("--quick", action="store_true", help="`make quick` instead of `make test`: no lesson is executed")
    args = parser.parse_args()
    outside = [place for place in os.environ["PATH"].split(os.pathsep) if not Path(place).resolve().is_relative_to(sys.prefix)]
    python = shutil.which(args.python, path=os.pathsep.join(outside))  # not that of the .venv from which `make newcomer` calls
    if not python:
        parser.error(f"there is no {args.python} here")
    console = Console()
    with tempfile.TemporaryDirectory(prefix="newcomer-", dir="/var/tmp", ignore_cleanup_errors=True) as folder:
        home, course = Path(folder, "home"), Path(folder, "home", "course")
        home.mkdir()
        subprocess.run(["git", "clone", "-q", ROOT, course], check=True)
        env = {"HOME": str(home), "PATH": os.defpath, "LANG": "C.UTF-8", "BROWSER": "/bin/true", "PIP_NO_CACHE_DIR": "1"}
        if args.lowest:
            (home / "lowest.txt").write_text(lowest())
            env["PIP_CONSTRAINT"] = str(home / "lowest.txt")
        run = {"cwd": course, "env": env}
        if user := stranger(python):
            Path(folder).chmod(0o755)
            subprocess.run(["chown", "-R", user, home], check=True)
            run["user"] = user
        table = Table(
            "command",
            "minutes",
            "MB on disk",
            "MB received",
            "",
            title=f"{python}, as {user or 'this user'}, {'lowest' if args.lowest else 'newest'} versions",
        )
        wrong = False
        for command, begin in {
            "make lab": lambda: lab(course, python, run),
            f"make {(goal := 'quick' if args.quick else 'test')}": lambda: tests(python, goal, run),
        }.items():
            start, before = time.monotonic(), received()
            with console.status(f"{command} …"):
                failed = begin()
            minutes, loaded = (time.monotonic() - start) / 60, received() - before
            table.add_row(command, f"{minutes:.1f}", f"{occupied(home):.0f}", f"{loaded:.0f}", failed or "✓", style="red" if failed else "")
            wrong |= bool(failed)
        console.print(table)
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
