"""The repository as a newcomer finds it: one list of dependencies, a known layout, no litter, and code that the linters accept."""

import importlib.util
import os
import re
import subprocess
import sys
import tomllib

import nbformat
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from course import root

ROOT = root()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CHARTER = {"pytorch-cpu", "jupyterlab", "ipywidgets", "nbval", "matplotlib"}
FOLDERS = {"chapters", "solutions", "exercises", "minilib", "course", "tests", "benchmarks", "docs", ".ci"}
FILES = {
    *("README.md", "LICENSE", "CITATION.cff", "Makefile", "pyproject.toml", "environment.yml", "constraints.txt", "conftest.py"),
    *("nbgrader_config.py", ".gitignore", ".gitattributes", ".pre-commit-config.yaml"),
}


def tracked() -> list[str]:
    """Files of the tree that git does not ignore, committed or not."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, text=True
    )
    if listed.returncode:
        pytest.skip("not a git checkout, so there is no list of its files")
    return sorted(name for name in listed.stdout.split("\0") if name and (ROOT / name).exists())


def requirements(group: str | None = None) -> dict[str, Requirement]:
    lines = PROJECT["dependencies"] if group is None else PROJECT["optional-dependencies"][group]
    return {canonicalize_name(Requirement(line).name): Requirement(line) for line in lines}


# ------------------------------------------------------------------------------------------------------------------- dependencies


def test_conda_door_leads_to_the_same_packages():
    listed = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))["dependencies"]
    plain = {re.split(r"[<>=!~ ]", entry)[0]: entry for entry in listed if isinstance(entry, str)}
    assert plain.keys() == CHARTER | {"python", "pip"}
    assert plain["python"] == f"python{PROJECT['requires-python']}"
    assert [entry["pip"] for entry in listed if isinstance(entry, dict)] == [["-e .[dev]"]]
    ours = requirements().keys() | requirements("dev").keys()
    assert {"torch" if name == "pytorch-cpu" else name for name in CHARTER} <= ours, "conda installs what pyproject.toml does not list"


def test_constraints_name_a_version_of_every_dependency_within_its_range():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    pins = {canonicalize_name(name): version for name, version in pins.items()}
    for wanted in (requirements(), requirements("dev"), requirements("classroom"), requirements("site")):
        for name, requirement in wanted.items():
            assert name in pins, f"constraints.txt has no version of {name}"
            assert requirement.specifier.contains(pins[name], prereleases=True), f"{name} {pins[name]} is outside {requirement}"


def test_the_lowest_versions_of_the_newcomers_test_lie_within_their_ranges():
    path = ROOT / "benchmarks" / "newcomer.py"
    spec = importlib.util.spec_from_file_location("newcomer", path)
    newcomer = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(newcomer)
    pins = {canonicalize_name(name): version for name, version in (line.split("==") for line in newcomer.lowest().split())}
    for group in (None, *PROJECT["optional-dependencies"]):
        for name, requirement in requirements(group).items():
            assert requirement.specifier.contains(pins[name]), requirement


def test_ranges_not_pins_and_no_address_of_a_registry():
    for group in (None, *PROJECT["optional-dependencies"]):
        for requirement in requirements(group).values():
            assert not any(spec.operator == "==" for spec in requirement.specifier), f"{requirement} is a pin"
            assert requirement.url is None
    for name in ("pyproject.toml", "environment.yml", "constraints.txt", "Makefile", ".ci/run", ".pre-commit-config.yaml"):
        assert not re.search(r"index-url|https?://", (ROOT / name).read_text(encoding="utf-8")), f"{name} names an address"


# ------------------------------------------------------------------------------------------------------------------------- layout


def test_top_level_holds_what_the_architecture_names():
    names = tracked()
    folders = {name.split("/")[0] for name in names if "/" in name}
    files = {name for name in names if "/" not in name}
    assert folders <= FOLDERS, f"stray: {sorted(folders - FOLDERS)}"
    assert files <= FILES, f"stray: {sorted(files - FILES)}"
    assert {"README.md", "LICENSE", "Makefile", "pyproject.toml", "environment.yml", "conftest.py"} <= files


LITTER = r"(^|/)(__pycache__|\.ipynb_checkpoints|\.DS_Store|work|\.venv)(/|$)|\.(pyc|orig|rej|bak|log|tmp)$"


def test_no_litter():
    for name in tracked():
        folder, _, last = name.rpartition("/")
        assert last not in ("utils.py", "helpers.py", "common.py", "misc.py"), f"{name}: name the file after what it tells"
        assert not re.search(LITTER, name), name
        assert not re.search(r"(copy|final|old)\.(py|md|ipynb)$", last), f"{name}: a copy?"
        if last.endswith(".ipynb"):
            assert folder.split("/")[0] in ("chapters", "solutions", "exercises"), f"{name}: a notebook outside the three folders"
            assert folder.count("/") == 1, f"{name}: notebooks lie in folder/chapter/"


def test_library_does_not_know_the_command_line():
    for path in (ROOT / "minilib").rglob("*.py"):
        assert not re.search(r"^\s*(from|import) course\b", path.read_text(encoding="utf-8"), flags=re.M), f"{path.name} imports course"


@pytest.mark.parametrize(
    "target", ["lab", "test", "quick", "lesson LESSON=13", "exercises", "mutants LESSON=13", "bench", "all-lessons", "newcomer"]
)
def test_make_knows_its_targets(target):
    """Dry: make prints what it would do."""
    dry = subprocess.run(["make", "--dry-run", *target.split()], cwd=ROOT, capture_output=True, text=True)
    assert dry.returncode == 0, dry.stderr


def test_set_up_of_a_fresh_clone_makes_the_environment_first(tmp_path):
    for name in ("Makefile", "pyproject.toml"):
        (tmp_path / name).write_text((ROOT / name).read_text(encoding="utf-8"), encoding="utf-8")
    dry = subprocess.run(["make", "--dry-run", "lab"], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    steps = ["-m venv .venv", "pip install", "course lab"]
    places = [dry.find(step) for step in steps]
    assert -1 not in places and places == sorted(places), dry
    locked = subprocess.run(["make", "--dry-run", "lab", "LOCKED=1"], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert "-c constraints.txt" in locked and "-c constraints.txt" not in dry


def test_citation_agrees_with_the_package():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == PROJECT["version"]
    assert citation["license"] == PROJECT["license"]
    assert citation["authors"] == [{"name": "The contributors to Transformers, Rebuilt"}]


# -------------------------------------------------------------------------------------------------------------------------- linters


@pytest.mark.parametrize("command", ["ruff check", "ruff format --check --exclude *.ipynb", "mypy"])
def test_linters_are_content(command):
    """Notebooks are linted but not laid out: to reformat a cell would part it from its stored outputs."""
    plain = os.environ | {"NO_COLOR": "1"}
    done = subprocess.run([sys.executable, "-m", *command.split()], cwd=ROOT, capture_output=True, text=True, env=plain)
    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-2000:]}"


@pytest.mark.parametrize(("minutes", "told"), [("0", "2 skipped"), ("", "1 failed, 1 passed")])
def test_without_time_notebooks_are_not_begun_and_it_says_so(minutes, told, tmp_path):
    for name, source in (("fine", "1 + 1"), ("wrong", "1 / 0")):
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
        nbformat.write(notebook, tmp_path / f"{name}.ipynb")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "conftest",
        "-p",
        "no:cacheprovider",
        "--nbval-lax",
        "--nbval-current-env",
        str(tmp_path),
    ]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | {"COURSE_MINUTES": minutes}, capture_output=True, text=True)
    assert told in done.stdout, done.stdout[-2000:]
    assert ("for want of time: 2 notebooks" in done.stdout) == bool(minutes)
