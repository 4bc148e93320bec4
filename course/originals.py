"""What tests rely on, as it was before a learner's code ran, and how to put it back.

``Originals`` remembers the set-up's names, the attributes of builtins, torch, minilib and of the grader itself, the code of their functions
and the trace functions. ``restore`` puts all of it back and names what had been replaced. A learner's code runs in the same process and
could find this object too: that cannot be prevented here, only noticed from outside (``course.grade.canary``).
"""

from __future__ import annotations

import random
import sys
import threading
from types import FunctionType
from typing import Any

MODULES = ("builtins", "ast", "math", "random", "numpy", "torch", "torch.nn.functional", "torch.testing")
PACKAGES = ("minilib", "course")


def seed() -> None:
    """The same random numbers for every test cell, wherever it runs."""
    import numpy
    import torch

    random.seed(0)
    numpy.random.seed(0)
    torch.manual_seed(0)


class Originals:
    def __init__(self, scope: dict[str, Any], keep: frozenset[str]):
        """``keep`` are the names of ``scope`` that the learner is meant to bind."""
        import torch

        self.scope, self.names = scope, {name: value for name, value in scope.items() if name not in keep}
        self.modules = dict(sys.modules)
        self.attributes = [(name, vars(m), dict(vars(m))) for name, m in self.modules.items() if _precious(name) and m is not None]
        self.methods = dict(vars(torch.Tensor))
        self.tensor = torch.Tensor
        functions = {id(f): f for _, _, saved in self.attributes for f in saved.values() if isinstance(f, FunctionType)}
        self.code = [(f, f.__code__, f.__defaults__, f.__kwdefaults__) for f in functions.values()]
        self.threads = threading.active_count()

    def restore(self) -> list[str]:
        """Put everything back, seeds too; the dotted names that had been replaced or removed, and what else still acts."""
        changed = []
        for name, module in self.modules.items():
            if sys.modules.get(name) is not module:
                changed += [f"sys.modules[{name!r}]"] * _precious(name)
                sys.modules[name] = module
        for owner, place, saved in self.attributes:
            changed += [f"{owner}.{key}" for key, value in saved.items() if place.get(key, self) is not value and callable(value)]
            place.update(saved)
        for key, value in self.methods.items():
            if vars(self.tensor).get(key, self) is not value and callable(value):
                changed.append(f"torch.Tensor.{key}")
                setattr(self.tensor, key, value)
        for key in [key for key in vars(self.tensor) if key not in self.methods]:
            changed.append(f"torch.Tensor.{key}")
            delattr(self.tensor, key)
        for function, code, defaults, named in self.code:
            if function.__code__ is not code or function.__defaults__ is not defaults or function.__kwdefaults__ is not named:
                changed.append(f"the code of {function.__module__}.{function.__qualname__}")
                function.__code__, function.__defaults__, function.__kwdefaults__ = code, defaults, named
        self.scope.update(self.names)
        if sys.gettrace() or sys.getprofile():
            changed.append("a trace function")
        sys.settrace(None)
        sys.setprofile(None)
        threading.settrace(None)  # type: ignore[arg-type]
        seed()
        return changed


def _precious(module: str) -> bool:
    return module in MODULES or module.partition(".")[0] in PACKAGES
