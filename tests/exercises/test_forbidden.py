"""What a task may not use is refused in the source and at run time; everything else goes through."""

import pytest
import torch

from course.forbidden import expand, named

SCOPE = {"torch": torch, "F": torch.nn.functional, "nn": torch.nn, "cs": torch.cumsum}
NAMES = frozenset(
    {"torch.cumsum", "minilib.check.check", "torch.nn.Softmax", "scipy.signal", "torch.nn.functional.softmax", "builtins.sorted"}
)

USES = {
    "torch.cumsum": [
        "y = torch.cumsum(x, 1)",
        "f = torch.cumsum",
        "from torch import cumsum as c",
        "from torch import *",
        "import torch as t\nt.cumsum(x, 1)",
        "t = torch\nu = t\nu.cumsum(x, 0)",
        "getattr(torch, 'cumsum')(x, 1)",
        "vars(torch)['cumsum'](x, 1)",
        "torch.__dict__['cumsum']",
        "__import__('torch').cumsum(x, 1)",
        "import importlib\nimportlib.import_module('torch').cumsum(x, 1)",
        "import sys\nsys.modules['torch'].cumsum",
        "def f(x):\n    return x.cumsum(1)",
        "def f(x):\n    return x.cumsum_(1)",
        "def f(x):\n    return (x + 1).cumsum(1)",
        "torch.Tensor.cumsum",
        "cs(x, 1)",
    ],
    "minilib.check.check": [
        "from minilib.check import check",
        "import minilib.check as c\nc.check",
        "import minilib\nminilib.check.check('', True)",
    ],
    "torch.nn.Softmax": ["class S(nn.Softmax): pass", "from torch import nn as k\nk.Softmax(1)", "torch.nn.Softmax(1)"],
    "scipy.signal": ["import scipy.signal", "import scipy.signal as s", "from scipy import signal", "from scipy.signal import lfilter"],
    "softmax": ["F.softmax(x, 1)", "torch.softmax(x, 1)", "x.softmax(1)"],
    "builtins.sorted": ["sorted([1])"],
}


@pytest.mark.parametrize(("name", "source"), [(name, source) for name, sources in USES.items() for source in sources])
def test_a_use_is_seen_in_the_source(name, source):
    import minilib.check  # noqa: F401  (as a set-up would)

    hit = named(source, NAMES, SCOPE)
    assert hit and hit.rpartition(".")[2].rstrip("_") == name.rpartition(".")[2]


@pytest.mark.parametrize(
    "source",
    [
        "def cumsum(x):\n    return x",
        "cumsum = 3\ny = cumsum + 1",
        "def f(softmax):\n    return softmax @ softmax",
        "# torch.cumsum is not allowed",
        "'torch.cumsum'",
        "class C:\n    def cumsum(self, x): return x\n    def f(self, x): return self.cumsum(x)",
        "import scipy",
        "def check(x): return x\ncheck(1)",
        "torch.cumprod(x, 1)",
    ],
)
def test_the_same_word_in_another_meaning_is_allowed(source):
    assert named(source, NAMES, SCOPE) is None


def test_twins_are_forbidden_together():
    assert {"torch.exp", "torch.Tensor.exp", "torch.exp_", "torch.Tensor.exp_"} <= expand(frozenset({"torch.exp"}))
    assert expand(frozenset({"minilib.check.check"})) == {"minilib.check.check"}


TAIL = "\ndef decayed(x, a):\n    return f(x, 1)"


@pytest.mark.parametrize(
    "source",
    [
        "f = torch.cumsum" + TAIL,
        "import functools\nf = functools.reduce(getattr, ['cumsum'], torch)" + TAIL,
        "f = getattr(torch, 'cum' + 'sum')" + TAIL,
        "f = eval('torch.cum' + 'sum')" + TAIL,
        "def f(x, d):\n    return eval('torch.cum' + 'sum(x, 1)')" + TAIL,
        "def f(x, d):\n    return getattr(x, 'cum' + 'sum')(1)" + TAIL,
        "def f(x, d):\n    return next(map(getattr(torch, 'cum' + 'sum'), [x], [1]))" + TAIL,
        "def f(x, d):\n    try:\n        getattr(x, 'cum' + 'sum')(1)\n    except Exception:\n        pass\n    return x" + TAIL,
    ],
)
def test_a_use_costs_the_points_and_is_named(grade, source):
    result = grade(1, source)
    assert result.points == 0 and "may not use torch." in result.message and "cumsum" in result.message


def test_tests_may_use_what_the_learner_may_not(grade, runner):
    assert grade(1, runner.exercise.task(1).source).points == 3  # the second test compares with torch.cumsum


def test_other_tasks_may_use_it(grade):
    assert grade(3, "def normalise(x):\n    return x / torch.cumsum(x, 1)[:, -1:]").points == 1


def test_nothing_stays_replaced():
    from course.forbidden import Guard

    before = torch.cumsum, torch.Tensor.cumsum, torch.nn.Softmax.__init__, __import__
    with Guard(NAMES, "<task-1>", frozenset(), dict(SCOPE)):
        assert torch.cumsum is not before[0]
        assert torch.nn.Softmax(1)(torch.zeros(1, 2)).sum() == 1
    assert before == (torch.cumsum, torch.Tensor.cumsum, torch.nn.Softmax.__init__, __import__)
