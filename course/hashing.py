"""The hash that ties a lesson's stored outputs to the code they came from.

It covers the lesson's code cells and every minilib module they import, directly or through other modules; prose may change freely.
"""

import ast
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import course

if TYPE_CHECKING:
    from nbformat import NotebookNode

LIBRARY = "minilib"


def code_hash(nb: "NotebookNode", root: Path | None = None) -> str:
    """sha256 over the code cells of `nb`, in order, and the minilib modules that they import, by name."""
    root = root or course.root()
    sources = [cell.source for cell in nb.cells if cell.cell_type == "code"]
    digest = hashlib.sha256()
    for source in sources:
        digest.update(b"\0cell\0" + source.encode())
    for name, path in sorted(modules(sources, root).items()):
        digest.update(f"\0{name}\0".encode() + path.read_bytes().replace(b"\r\n", b"\n"))
    return digest.hexdigest()


def is_fresh(nb: "NotebookNode", root: Path | None = None) -> bool:
    """Whether the stored outputs come from this code; False for a notebook that was never run with `--keep`."""
    return nb.metadata.get("course", {}).get("code_hash") == code_hash(nb, root)


def modules(sources: list[str], root: Path) -> dict[str, Path]:
    """The minilib modules that `sources` import, transitively: dotted name → file."""
    found: dict[str, Path] = {}
    todo = [name for source in sources for name in imported(source)]
    while todo:
        name = todo.pop()
        if name in found or not (path := _file(name, root)):
            continue
        found[name] = path
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        todo.extend(imported(path.read_text(encoding="utf-8"), package))
        todo.append(name.rpartition(".")[0])  # importing a module runs the packages around it
    return found


def imported(source: str, package: str = "") -> Iterator[str]:
    """Dotted names that `source` may import from minilib; `package` resolves relative imports. Cell magics are skipped."""
    lines = ["" if line.lstrip().startswith(("%", "!")) else line for line in source.splitlines()]
    try:
        tree = ast.parse("\n".join(lines))
    except SyntaxError:
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            outer = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
            module = ".".join([*outer, *([node.module] if node.module else [])])
            names = [module, *(f"{module}.{alias.name}" for alias in node.names)]  # a name may be a submodule
        else:
            continue
        yield from (name for name in names if name.partition(".")[0] == LIBRARY)


def _file(name: str, root: Path) -> Path | None:
    base = root.joinpath(*name.split("."))
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if name and path.is_file()), None)
