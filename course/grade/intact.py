"""What findings are made and sent with, watched as ``course.originals`` watches what tests compare with.

An answer runs in the process that reports on it. Whoever replaces ``json.dumps`` or a method of the grader's own classes writes points
of his own: so these are put back, and named, before a finding is sent. A subclass of Tensor that decides how its values are compared
agrees with every test; it is named, too.
"""

from __future__ import annotations

import json
import sys
from types import FunctionType
from typing import Any

from course.forbidden import expand, locate

MODULES = ("json", "json.encoder", "os", "select", "io", "linecache", "contextlib", "traceback")
PACKAGES = ("minilib", "course")
HARMLESS = {"__new__", "__init__", "__init_subclass__", "__module__", "__doc__", "__dict__", "__weakref__"}  # in a subclass of Tensor
_namespace = type.__dict__["__dict__"].__get__  # what a metaclass says about its classes is not asked


class Intact:
    """Made before an answer runs; ``restore`` puts everything back and gives the dotted names that had been replaced.

    What a new class overrides is only named: its values are everywhere.
    What ``forbidden`` names is left alone: ``course.forbidden.Guard`` has its stand-ins there.
    """

    def __init__(self, forbidden: frozenset[str] = frozenset()) -> None:
        guarded = {id(thing) for name in expand(forbidden) if (thing := locate(name)) is not None}
        guarded |= {id(vars(each)["__init__"]) for name in forbidden if isinstance(each := locate(name), type) and "__init__" in vars(each)}
        modules = {name: module for name, module in list(sys.modules.items()) if module is not None and _watched(name)}
        things = {id(thing): thing for module in modules.values() for thing in vars(module).values() if isinstance(thing, type)}
        classes = [thing for thing in things.values() if _watched(thing.__module__) and not hasattr(thing, "_member_map_")]
        owners: list[tuple[str, Any]] = [(name, modules[name]) for name in MODULES if name in modules]
        owners += [(f"{each.__module__}.{each.__qualname__}", each) for each in classes]
        self.saved = [(name, owner, {k: v for k, v in vars(owner).items() if id(v) not in guarded}) for name, owner in owners]
        encoder = json._default_encoder.__dict__  # type: ignore[attr-defined]
        self.encoder = encoder, dict(encoder)
        functions = {id(f): f for _, _, saved in self.saved for value in saved.values() if isinstance(f := _plain(value), FunctionType)}
        self.code = [(f, f.__code__) for f in functions.values()]
        self.kinds = _kinds()

    def restore(self) -> list[str]:
        changed = []
        for name, owner, saved in self.saved:
            now = vars(owner)
            for key, value in saved.items():
                if now.get(key, self) is not value and (callable(value) or callable(_plain(value))):
                    changed.append(f"{name}.{key}")
                    setattr(owner, key, value)
        here, encoder = self.encoder
        if names := [key for key in here.keys() | encoder.keys() if here.get(key, self) != encoder.get(key, self)]:
            changed += [f"json encoder.{key}" for key in sorted(names)]  # one of its own would hide the class's method
            here.clear()
            here.update(encoder)
        for function, code in self.code:
            if function.__code__ is not code:
                changed.append(f"the code of {function.__module__}.{function.__qualname__}")
                function.__code__ = code
        overridden = {key for number, kind in _kinds().items() if number not in self.kinds for key in _overrides(kind)}
        return changed + [f"torch.Tensor.{key} in a subclass" for key in sorted(overridden)]


def _kinds() -> dict[int, type]:
    """The subclasses of ``torch.Tensor`` and theirs, by id: how a metaclass compares them is not asked."""
    import torch

    found: dict[int, type] = {}
    waiting: list[type] = [torch.Tensor]
    for kind in waiting:
        below: list[type] = type.__subclasses__(kind)
        new = {id(each): each for each in below if id(each) not in found}
        found.update(new)
        waiting += new.values()
    return found


def _overrides(kind: type) -> set[str]:
    """What a subclass of ``torch.Tensor`` changes about it, if it is of no module: imports of torch's own make some, too."""
    import torch

    names = _namespace(kind)
    home = sys.modules.get(names["__module__"])
    if names["__module__"] != "__main__" and home and vars(home).get(kind.__name__) is kind:
        return set()
    return names.keys() & set(dir(torch.Tensor)) - HARMLESS


def _plain(value: Any) -> Any:
    """The function in a static or class method, or in a property."""
    return getattr(value, "__func__", None) or getattr(value, "fget", None) or value


def _watched(module: str) -> bool:
    return module in MODULES or module.partition(".")[0] in PACKAGES
