"""Breaks the functions of *Build it*, one small change at a time, and sees whether a check of the lesson notices.

A mutant is the source of one cell with one change. It runs in a fork that is made after the cell before it, so nothing is executed twice;
it goes through the rest of *Build it*, and it is stopped when anything raises there. A mutant that gets through shows a check that is
missing, unless it computes the same thing: then the cell's metadata names it with the reason,
`"course": {"equivalent_mutants": {"step 3 · gd_weights · L12 eta / n → eta": "eta is 1 by the line above"}}`.
"""

import ast
import copy
import json
import linecache
import os
import re
import select
import signal
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path

PER_STEP = 8  # of the mutants that a step allows, taken in turn from every kind of change
FEWEST = 3
SECONDS = 60.0


@dataclass(frozen=True)
class Mutant:
    name: str
    kind: str
    source: str


@dataclass
class Cell:
    """A code cell before *Train it*; `step` is empty outside *Build it*."""

    number: int
    source: str
    step: str
    equivalent: dict[str, str] = field(default_factory=dict)


@dataclass
class Result:
    """What became of one lesson's mutants; `problems` are survivors and broken rules, in words."""

    tried: int = 0
    stopped: int = 0
    equivalent: int = 0
    problems: list[str] = field(default_factory=list)


# ------------------------------------------------------------------------------------------------------------------------- the changes

# what a dropped call leaves: its argument, or the object whose method it is
DROPPED = {"transpose", "permute", "flip", "roll", "softmax", "masked_fill", "cumsum"}
DROPPED |= {"sqrt", "rsqrt", "exp", "softplus", "silu", "sigmoid", "relu"}
OTHER = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.LtE: ast.Lt, ast.Lt: ast.LtE, ast.GtE: ast.Gt, ast.Gt: ast.GtE, ast.Eq: ast.NotEq}
AXES = {"dim", "axis", "dim0", "dim1", "dims"}


def changes(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """Every (kind, replacement) for one node."""
    match node:
        case ast.BinOp(left, ast.Mult() | ast.Div(), right):
            yield "drop a factor", left
            if isinstance(node.op, ast.Mult):
                yield "drop a factor", right
        case ast.BinOp(left, ast.Add() | ast.Sub(), right):
            yield "swap a sign", ast.BinOp(left, OTHER[type(node.op)](), right)
            yield "drop a term", left
        case ast.BinOp(left, ast.Pow(), right):
            yield "drop a power", left
        case ast.UnaryOp(ast.USub(), operand) if not isinstance(operand, ast.Constant):
            yield "swap a sign", operand
        case ast.Compare(left, [op], right) if type(op) in OTHER:
            yield "shift a comparison", ast.Compare(left, [OTHER[type(op)]()], right)
        case ast.Call(ast.Attribute(value, name), args) if name in DROPPED:
            module = isinstance(value, ast.Name) and value.id in ("torch", "F", "np")
            if not module or args:
                yield "drop a call", args[0] if module else value
        case ast.Attribute(value, "T" | "mT", ast.Load()):
            yield "drop a call", value
    if isinstance(node, ast.Call):
        yield from call_changes(node)
    if isinstance(node, ast.Slice):
        yield from slice_changes(node)


def call_changes(node: ast.Call) -> Iterator[tuple[str, ast.AST]]:
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    for i, keyword in enumerate(node.keywords):
        if keyword.arg in AXES | {"diagonal"} and isinstance(value := number(keyword.value), int):
            kind = "swap an axis" if keyword.arg in AXES else "shift a mask"
            for other in (other_axis(value),) if keyword.arg in AXES else (value - 1, value + 1):
                yield kind, changed(node, "keywords", i, ast.keyword(keyword.arg, ast.Constant(other)))
    if name in ("tril", "triu") and not node.keywords:
        bare = len(node.args) == (1 if isinstance(node.func, ast.Attribute) and getattr(node.func.value, "id", "") == "torch" else 0)
        if bare:
            yield "shift a mask", ast.Call(node.func, node.args, [ast.keyword("diagonal", ast.Constant(-1 if name == "tril" else 1))])
    reduces = name in ("softmax", "log_softmax", "logsumexp", "sum", "mean", "cumsum", "cat", "stack", "flip")
    if reduces and node.args and isinstance(value := number(node.args[-1]), int):
        yield "swap an axis", changed(node, "args", len(node.args) - 1, ast.Constant(other_axis(value)))
    if name == "range" and node.args:
        last = len(node.args) - 1 if len(node.args) < 3 else 1
        yield "miss by one", changed(node, "args", last, ast.BinOp(node.args[last], ast.Sub(), ast.Constant(1)))


def slice_changes(node: ast.Slice) -> Iterator[tuple[str, ast.AST]]:
    if node.lower is not None:
        value = number(node.lower)
        later = ast.Constant(value + 1) if isinstance(value, int) and value != -1 else ast.BinOp(node.lower, ast.Add(), ast.Constant(1))
        if value != -1:
            yield "miss by one", ast.Slice(later, node.upper, node.step)
    if node.upper is not None:
        value = number(node.upper)
        if value == -1:
            yield "miss by one", ast.Slice(node.lower, None, node.step)
        else:
            earlier = ast.Constant(value - 1) if isinstance(value, int) else ast.BinOp(node.upper, ast.Sub(), ast.Constant(1))
            yield "miss by one", ast.Slice(node.lower, earlier, node.step)


def return_changes(node: ast.Return, argument: str | None) -> Iterator[tuple[str, ast.AST]]:
    """The answer negated or doubled (its first part, if it has several), or the input handed back."""
    value = node.value
    if value is None or isinstance(value, ast.Constant):
        return
    for kind, wrong in (
        ("negate the result", lambda part: ast.UnaryOp(ast.USub(), part)),
        ("double the result", lambda part: ast.BinOp(ast.Constant(2), ast.Mult(), part)),
    ):
        match value:
            case ast.Tuple([first, *rest]):
                yield kind, ast.Return(ast.Tuple([wrong(first), *rest], ast.Load()))
            case ast.Dict(keys, [first, *rest]):
                yield kind, ast.Return(ast.Dict(keys, [wrong(first), *rest]))
            case _:
                yield kind, ast.Return(wrong(value))
    if argument and not (isinstance(value, ast.Name) and value.id == argument):
        yield "return the input", ast.Return(ast.Name(argument, ast.Load()))


def number(node: ast.AST) -> int | float | None:
    match node:
        case ast.Constant(value) if isinstance(value, int | float) and not isinstance(value, bool):
            return value
        case ast.UnaryOp(ast.USub(), ast.Constant(value)) if isinstance(value, int | float):
            return -value
    return None


def other_axis(axis: int) -> int:
    return {-1: -2, -2: -1, 0: 1, 1: 0}.get(axis, axis - 1)


def changed(node: ast.Call, part: str, i: int, new: ast.AST) -> ast.Call:
    items = [new if j == i else item for j, item in enumerate(getattr(node, part))]
    return ast.Call(node.func, items, node.keywords) if part == "args" else ast.Call(node.func, node.args, items)


# ------------------------------------------------------------------------------------------------------------------------- the mutants


def mutants(cell: Cell) -> list[Mutant]:
    """All mutants of a cell, each with one change inside a function or method that the cell defines."""
    source = plain(cell.source)
    tree = ast.parse(source)
    found: dict[str, Mutant] = {}
    for function, node in targets(tree):
        options = changes(node) if not isinstance(node, ast.Return) else return_changes(node, first_argument(function))
        for kind, new in options:
            before, after = shown(node), shown(new)
            name = f"{cell.step} · {function.name} · L{node.lineno} {before} → {after}"
            if before != after and name not in found:
                found[name] = Mutant(name, kind, ast.unparse(ast.fix_missing_locations(replaced(tree, node, new))))
    return list(found.values())


def targets(tree: ast.Module) -> Iterator[tuple[ast.FunctionDef, ast.AST]]:
    """Each node that may be changed, with its function. Signatures, messages and the checks of arguments are left alone."""

    def inside(node: ast.AST, function: ast.FunctionDef | None) -> Iterator[tuple[ast.FunctionDef, ast.AST]]:
        if isinstance(node, ast.FunctionDef):
            for child in node.body:
                yield from inside(child, node)
            return
        guard = isinstance(node, ast.If) and all(isinstance(child, ast.Raise) for child in node.body)
        if isinstance(node, ast.Raise | ast.Assert | ast.JoinedStr) or guard:
            return
        if function is not None:
            yield function, node
        for name, value in ast.iter_fields(node):
            if name not in ("annotation", "returns", "decorator_list"):
                for child in value if isinstance(value, list) else [value]:
                    if isinstance(child, ast.AST):
                        yield from inside(child, function)

    yield from inside(tree, None)


def replaced(tree: ast.Module, node: ast.AST, new: ast.AST) -> ast.Module:
    """A copy of `tree` with `new` in the place of `node`."""
    memo: dict[int, object] = {id(node): copy.deepcopy(new)}
    return copy.deepcopy(tree, memo)


def first_argument(function: ast.FunctionDef) -> str | None:
    names = [argument.arg for argument in (*function.args.posonlyargs, *function.args.args)]
    return next((name for name in names if name not in ("self", "cls", "ctx")), None)


def shown(node: ast.AST, limit: int = 60) -> str:
    text = " ".join(ast.unparse(ast.fix_missing_locations(copy.deepcopy(node))).split())
    return text if len(text) <= limit else text[: limit - 1] + "…"


def chosen(found: list[Mutant], most: int | None) -> list[Mutant]:
    """At most `most` of them, one of each kind in turn, so that no kind crowds out the others."""
    kinds: dict[str, list[Mutant]] = {}
    for mutant in found:
        kinds.setdefault(mutant.kind, []).append(mutant)
    turns = [mutant for turn in zip_longest(*kinds.values()) for mutant in turn if mutant]
    return turns[:most]


# ------------------------------------------------------------------------------------------------------------------------- the running


def cells_before_training(notebook: Path) -> list[Cell]:
    """The code cells up to the end of *Build it*."""
    raw = json.loads(notebook.read_text(encoding="utf-8"))
    cells, section, step, steps = [], "", "", 0
    for number_, cell in enumerate(raw["cells"], 1):
        text = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            for level, title in re.findall(r"^(##|###) +(.+?) *$", text, flags=re.M):
                if level == "##":
                    if section == "Build it":
                        return cells
                    section, step = title, ""
                elif section == "Build it":
                    steps += 1
                    said = re.match(r"Step (\d+)", title)
                    step = f"step {said[1] if said else steps}"
        elif cell["cell_type"] == "code" and text.strip():
            cells.append(Cell(number_, text, step, cell["metadata"].get("course", {}).get("equivalent_mutants", {})))
    return cells


def plain(source: str) -> str:
    """The code without Jupyter's magics, line for line."""
    return "\n".join("" if re.match(r"\s*[%!]", line) else line for line in source.splitlines())


def execute(source: str, space: dict, name: str) -> None:
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)  # lets inspect.getsource find a lesson's functions
    exec(compile(source, name, "exec", dont_inherit=True), space)


def attempt(run: Callable[[], None], seconds: float = SECONDS) -> str:
    """Run in a fork; what stopped it, or an empty string if nothing did."""
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        message = ""
        try:
            run()
        except BaseException as error:  # whatever it is, it stopped the mutant
            message = f"{type(error).__name__}: {error}"
        os.write(writing, message.encode("utf-8", "replace")[:2000] or b"\0")
        os._exit(0)
    os.close(writing)
    try:
        if not select.select([reading], [], [], seconds)[0]:
            return f"no end within {seconds:.0f} s"
        answer = os.read(reading, 4096)
        return "" if answer == b"\0" else answer.decode("utf-8", "replace") or "the process died"
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(reading)


def judge(notebook: Path, most: int | None = PER_STEP, say: Callable[[str], None] = print) -> Result:
    """Execute *Build it* once, and every chosen mutant of its steps in a fork on the way."""
    cells = cells_before_training(notebook)
    every = {cell.number: mutants(cell) if cell.step else [] for cell in cells}
    result, space = Result(), {"__name__": "__main__"}
    for step in dict.fromkeys(cell.step for cell in cells if every[cell.number]):
        here = [cell for cell in cells if cell.step == step and every[cell.number]]
        named = {name for cell in here for name in cell.equivalent}
        possible = [mutant for cell in here for mutant in every[cell.number]]
        gone = sorted(named - {mutant.name for mutant in possible})
        result.problems += [f'"{name}" is named as equivalent, but is no mutant of {step}' for name in gone]
        result.equivalent += len(named)
        picked = chosen([mutant for mutant in possible if mutant.name not in named], most)
        if len(picked) + len(named) < FEWEST:
            result.problems.append(f"{step} allows only {len(picked)} mutants, fewer than {FEWEST}: let its cell compute something")
        for cell in here:
            every[cell.number] = [mutant for mutant in every[cell.number] if mutant in picked]

    devnull = open(os.devnull, "w")  # noqa: SIM115  (forks write to it until the end)
    for i, cell in enumerate(cells):
        survivors = []
        for mutant in every[cell.number]:

            def run(mutant: Mutant = mutant, i: int = i) -> None:
                execute(mutant.source, space, f"<cell {cells[i].number}>")
                for later in cells[i + 1 :]:
                    execute(plain(later.source), space, f"<cell {later.number}>")

            with redirect_stdout(devnull), redirect_stderr(devnull):
                stopped = attempt(run)
            result.tried += 1
            result.stopped += bool(stopped)
            if not stopped:
                survivors.append(f"cell {cell.number} survives: {mutant.name} ({mutant.kind})")
        if every[cell.number]:
            say(f"  {cell.step}, cell {cell.number}: {len(every[cell.number]) - len(survivors)} of {len(every[cell.number])} stopped")
        result.problems += survivors
        try:
            with redirect_stdout(devnull):
                execute(plain(cell.source), space, f"<cell {cell.number}>")
        except Exception as error:
            result.problems.append(f"cell {cell.number} fails as it stands, before any change: {type(error).__name__}: {error}")
            break
    return result
