"""minilib.parallel under a real torchrun on loopback: the steps of one process with as many batches, and a killed worker comes back."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from minilib import parallel
from minilib.training import fit

SCRIPT = """
import os, signal, sys
from pathlib import Path
import torch
sys.path.insert(0, {tests!r})
from test_parallel import trained
from minilib import parallel

kill = Path(sys.argv[2]) if len(sys.argv) > 2 else None

def hook(step):
    if kill and step == 7 and parallel.rank() == 1 and not kill.exists():
        kill.write_text("once")
        os.kill(os.getpid(), signal.SIGKILL)

run, gradients = trained(accumulate=1, hook=hook, checkpoint=Path(sys.argv[1]) / "run.pt" if kill else None)
torch.save((run.losses, run.evaluations, gradients, run.model.state_dict()), Path(sys.argv[1]) / f"{{parallel.rank()}}.pt")
"""


class Sparse(nn.Module):
    """A part of it is used for some batches only, as an expert is."""

    def __init__(self):
        super().__init__()
        self.common, self.rare, self.never = nn.Linear(5, 8), nn.Linear(8, 1), nn.Linear(8, 1)
        self.out = nn.Linear(8, 1)

    def forward(self, x):
        h = torch.tanh(self.common(x))
        return self.out(h) + (self.rare(h) if x[0, 0] > 0.5 else 0)


def trained(accumulate, hook=lambda step: None, checkpoint=None, steps=10):
    """A run, and the gradients of its first step."""
    torch.manual_seed(0 if parallel.rank() == 0 else 1)  # processes that start apart take the parameters of the first
    model, gradients, drawn = Sparse(), [], []

    def batch(generator):
        drawn.append(None)
        hook(len(drawn) // (accumulate * parallel.size()))
        return torch.randn(4, 5, generator=generator)

    def loss(model, x):
        return ((model(x)[:, 0] - x.sum(-1)) ** 2).mean()

    def evaluate(model):
        if not gradients:
            gradients.extend(torch.zeros(()) if p.grad is None else p.grad.clone() for p in model.parameters())
        return float(loss(model, torch.ones(3, 5)))

    more = {"evaluate": evaluate, "every": 1, "checkpoint": checkpoint, "weight_decay": 0.1, "clip": None}
    return fit(model, batch, loss, steps=steps, lr=1e-2, seed=3, warmup=2, accumulate=accumulate, **more), gradients


def torchrun(folder, *words, processes=2):
    script = folder / "script.py"
    script.write_text(SCRIPT.format(tests=str(Path(__file__).parent)))
    flags = ["--standalone", f"--nproc-per-node={processes}", "--max-restarts=2"]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}  # as in course/run.py
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", *flags, str(script), str(folder), *words], env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [torch.load(folder / f"{rank}.pt") for rank in range(processes)]


def test_two_processes_make_the_steps_of_one_with_two_batches(tmp_path):
    ours, theirs = torchrun(tmp_path)
    run, gradients = trained(accumulate=2)
    assert ours[2] and not theirs[2], "only process 0 evaluates, where the gradients are taken down"
    for p, reference in zip(ours[2], gradients, strict=True):
        assert torch.allclose(p, reference, atol=1e-5), "a gradient differs from that of one process"
    assert ours[0] == pytest.approx(run.losses, abs=1e-5) and ours[0] == theirs[0]
    assert ours[1] == theirs[1], "both know what was evaluated"
    for name, p in run.model.state_dict().items():
        assert torch.allclose(p, ours[3][name], atol=1e-5) and torch.equal(ours[3][name], theirs[3][name]), name


def test_a_killed_worker_comes_back_and_the_run_ends_as_an_undisturbed_one(tmp_path):
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    undisturbed = torchrun(tmp_path / "a")[0]
    killed = torchrun(tmp_path / "b", str(tmp_path / "b" / "killed"))[0]
    assert (tmp_path / "b" / "killed").exists()
    assert killed[0] == pytest.approx(undisturbed[0], abs=1e-6)
    for name, p in undisturbed[3].items():
        assert torch.allclose(p, killed[3][name], atol=1e-6), name


def test_accumulated_batches_are_averaged():
    one, _ = trained(accumulate=1, steps=1)
    two, _ = trained(accumulate=2, steps=1)
    assert one.losses != two.losses
    generator = torch.Generator().manual_seed(3)
    torch.manual_seed(0)
    model = Sparse()
    losses = [
        float(((model(x)[:, 0] - x.sum(-1)) ** 2).mean().detach()) for x in (torch.randn(4, 5, generator=generator) for _ in range(2))
    ]
    assert two.losses[0] == pytest.approx(sum(losses) / 2, abs=1e-6)
