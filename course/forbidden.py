"""What a task may not use: refused where it is read in the source, and again where it is called.

``named`` reads the learner's cell (imports, aliases, attribute chains, constant ``getattr``, ``__import__``, ``sys.modules``).
``Guard`` replaces the forbidden functions while the tests run; the stand-in refuses a call that comes from the learner's cell and lets
every other caller through, so locked tests and minilib may still use the reference.

Names are dotted and full (``torch.cumsum``). The functions of ``torch``, ``torch.nn.functional``, ``torch.special`` and the methods of
tensors are one family: forbidding one name forbids the same name in all of them. A module's name forbids everything in it.

Limits: a method is known by its name alone, whatever object it is called on (``self`` excepted). A function handed to a library that
calls it, a C extension, or code compiled under an invented file name escapes the run-time guard, though the source check
sees the plain ways to get hold of it. This keeps honest people honest; the classroom's sandbox is for the others.
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import functools
import importlib
import os
import sys
from types import ModuleType
from typing import Any

FAMILY = ("torch", "torch.Tensor", "torch.nn.functional", "torch.special")


class Forbidden(Exception):
    """A forbidden name was used; the message is for the learner."""

    def __init__(self, name: str):
        super().__init__(f"This task may not use {name}: building it, or doing without it, is the task.")


def expand(names: frozenset[str]) -> set[str]:
    """Each name together with its twins in the same family and their in-place forms."""
    every = set(names)
    for name in names:
        prefix, _, last = name.rpartition(".")
        if prefix in FAMILY:
            every |= {f"{p}.{form}" for p in FAMILY for form in (last, last + "_") if locate(f"{p}.{form}") is not None}
    return every


def locate(name: str) -> Any:
    """The object of a dotted name among the modules already imported, or None."""
    parts = name.split(".")
    for cut in range(len(parts), 0, -1):
        thing: Any = sys.modules.get(".".join(parts[:cut]))
        if thing is not None:
            for part in parts[cut:]:
                thing = getattr(thing, part, None)
            return thing
    return None


def load(name: str) -> None:
    """Import the module that a dotted name lives in, so that ``Guard`` finds it; a name that does not exist is left alone."""
    while name:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
            return
        name = name.rpartition(".")[0]


def named(source: str, names: frozenset[str], scope: dict[str, Any]) -> str | None:
    """The first forbidden name that the cell uses, or None. ``scope`` is the namespace after the locked cells."""
    return _Reader(names, scope).read(ast.parse(source)) if names else None


class _Reader:
    def __init__(self, names: frozenset[str], scope: dict[str, Any]):
        self.scope = scope
        self.names = expand(names)
        self.objects = {id(o): n for n in sorted(self.names) if callable(o := locate(n)) or isinstance(o, ModuleType)}
        self.methods = {n.rpartition(".")[2]: n for n in self.names if n.startswith("torch.Tensor.")}
        self.aliases: dict[str, str] = {}
        self.own: set[str] = set()

    def read(self, tree: ast.AST) -> str | None:
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                self.own.add(node.name)
            elif isinstance(node, ast.arg):
                self.own.add(node.arg)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                self.own.add(node.id)
            elif isinstance(node, ast.Import):
                self.aliases |= {a.asname or a.name.split(".")[0]: a.name if a.asname else a.name.split(".")[0] for a in node.names}
            elif isinstance(node, ast.ImportFrom):
                self.aliases |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
        for _ in range(3):  # f = torch; g = f.nn; h = g.functional
            for node in ast.walk(tree):
                if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and (value := self.resolve(node.value)):
                    self.aliases[node.targets[0].id] = value
        return next((hit for node in ast.walk(tree) if (hit := self.hit(node))), None)

    def hit(self, node: ast.AST) -> str | None:
        if isinstance(node, ast.Import):
            return next((h for a in node.names if (h := self.match(a.name))), None)
        if isinstance(node, ast.ImportFrom):
            if any(a.name == "*" for a in node.names):
                return next((n for n in sorted(self.names) if n.rpartition(".")[0] == node.module), None)
            return next((h for a in node.names if (h := self.match(f"{node.module}.{a.name}"))), None)
        if isinstance(node, (ast.Name, ast.Attribute, ast.Call, ast.Subscript)):
            if name := self.resolve(node):
                return self.match(name)
            attribute = self.part(node)
            if attribute and attribute[1] in self.methods and getattr(attribute[0], "id", "") not in ("self", "cls"):
                return self.methods[attribute[1]]
        return None

    def match(self, name: str) -> str | None:
        for forbidden in self.names:
            if name == forbidden or name.startswith(forbidden + "."):
                return forbidden
        return self.objects.get(id(locate(name)))

    def part(self, node: ast.AST) -> tuple[ast.expr, str] | None:
        """(base, attribute) of ``base.attribute``, ``getattr(base, "attribute")``, ``vars(base)["attribute"]``."""
        if isinstance(node, ast.Attribute):
            return node.value, node.attr
        if (
            isinstance(node, ast.Call)
            and getattr(node.func, "id", "") == "getattr"
            and len(node.args) > 1
            and (text := _text(node.args[1]))
        ):
            return node.args[0], text
        if isinstance(node, ast.Subscript) and (text := _text(node.slice)):
            base = node.value
            if isinstance(base, ast.Attribute) and base.attr == "__dict__":
                return base.value, text
            if isinstance(base, ast.Call) and getattr(base.func, "id", "") == "vars" and base.args:
                return base.args[0], text
        return None

    def resolve(self, node: ast.AST) -> str | None:
        """The full dotted name that an expression stands for, or None."""
        if isinstance(node, ast.Name):
            if node.id in self.aliases:
                return self.aliases[node.id]
            if node.id in self.own:
                return None
            value = self.scope.get(node.id, getattr(builtins, node.id, None))
            if isinstance(value, ModuleType):
                return value.__name__
            return self.objects.get(id(value)) or (
                f"builtins.{node.id}" if hasattr(builtins, node.id) and node.id not in self.scope else None
            )
        if isinstance(node, ast.Call) and node.args and (text := _text(node.args[0])):
            called = self.resolve(node.func)
            if called in ("builtins.__import__", "importlib.import_module"):
                return self.match(text) or (text.split(".")[0] if called == "builtins.__import__" else text)
        if isinstance(node, ast.Subscript) and (text := _text(node.slice)) and self.resolve(node.value) == "sys.modules":
            return text
        if (found := self.part(node)) and (base := self.resolve(found[0])):
            return f"{base}.{found[1]}"
        return None


def _text(node: ast.AST) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


class Guard:
    """Stand-ins for forbidden names inside ``with``. ``used`` is the first refused name, even if the learner caught the error."""

    def __init__(self, names: frozenset[str], learner: str, trusted: frozenset[str], scope: dict[str, Any]):
        self.names, self.learner, self.trusted, self.scope = expand(names), learner, trusted, scope
        self.used: str | None = None
        self.undo: list[tuple[Any, str, Any]] = []

    def __enter__(self) -> Guard:
        modules = [m for k, m in list(sys.modules.items()) if m is not None and k.partition(".")[0] == "minilib"]
        for name in self.names:
            thing = locate(name)
            owner, last = locate(name.rpartition(".")[0]), name.rpartition(".")[2]
            if isinstance(thing, type):
                self._put(thing, "__init__", self._refusing(thing.__init__, name))  # type: ignore[misc]
            elif callable(thing):
                stand_in = self._refusing(thing, name)
                self._put(owner, last, stand_in)
                for holder in [*modules, self.scope]:
                    for key, value in list((holder if isinstance(holder, dict) else vars(holder)).items()):
                        if value is thing:
                            self._put(holder, key, stand_in)
        if self.names:
            self._put(builtins, "__import__", self._importing(builtins.__import__))
            self._put(importlib, "import_module", self._importing(importlib.import_module))
        return self

    def __exit__(self, *_: object) -> None:
        for owner, name, old in reversed(self.undo):
            if isinstance(owner, dict):
                owner[name] = old
            elif old is None:
                delattr(owner, name)
            else:
                setattr(owner, name, old)

    def _put(self, owner: Any, name: str, new: Any) -> None:
        if isinstance(owner, dict):
            self.undo.append((owner, name, owner[name]))
            owner[name] = new
            return
        old = vars(owner).get(name)
        try:
            setattr(owner, name, new)
        except (AttributeError, TypeError):  # a type of C: the source check has to do
            return
        self.undo.append((owner, name, old))

    def _from_learner(self) -> bool:
        """Whether the call comes from the learner's cell (or from text that it runs with exec)."""
        frame = sys._getframe(2)
        while frame is not None:
            file = frame.f_code.co_filename
            if file == self.learner:
                return True
            if file in self.trusted or os.path.isabs(file) or file.startswith("<frozen"):
                return False
            frame = frame.f_back  # type: ignore[assignment]
        return False

    def _refuse(self, name: str) -> None:
        self.used = self.used or name
        raise Forbidden(name)

    def _refusing(self, original: Any, name: str) -> Any:
        @functools.wraps(original)
        def stand_in(*args, **kwargs):
            if self._from_learner():
                self._refuse(name)
            return original(*args, **kwargs)

        return stand_in

    def _importing(self, original: Any) -> Any:
        @functools.wraps(original)
        def stand_in(name, *args, **kwargs):
            if self._from_learner() and name in self.names:
                self._refuse(name)
            return original(name, *args, **kwargs)

        return stand_in
