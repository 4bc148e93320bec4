"""Training loop, seeds and sizes that all lessons share. Knows no model.

``scale``   one settings cell a lesson: laptop or full
``seeds``   the seeds on which a lesson measures (the pilots used 0–4, the lessons 10, 11, 12 …)
``fit``     one seed, one thread, AdamW, warm-up and decay, clipping, evaluation, a bar that is cleared, checkpoint and resume;
            under ``torchrun`` the processes share each step
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from math import cos, pi
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from minilib import parallel
from minilib.check import headless

__all__ = ["Run", "fit", "learning_rate", "scale", "seeds"]

_CALLS = itertools.count()
OTHER = 1_000_003  # between the seeds of processes that share a step
torch.set_num_threads(1)  # a lesson is measured on one core, and gives the same numbers whatever else the machine has


def scale(*, laptop: dict[str, Any], full: dict[str, Any]) -> SimpleNamespace:
    """The settings of this run: ``laptop``, or with ``COURSE_SCALE=full`` the same with the entries of ``full`` instead.

    Raises:
        ValueError: ``full`` has a name that ``laptop`` lacks, or COURSE_SCALE is neither of the two.
    """
    name = os.environ.get("COURSE_SCALE") or "laptop"
    if name not in ("laptop", "full"):
        raise ValueError(f"COURSE_SCALE is {name!r}; it must be 'laptop' or 'full'")
    if unknown := set(full) - set(laptop):
        raise ValueError(f"scale: {', '.join(sorted(unknown))} stands under full= but not under laptop=")
    return SimpleNamespace(**laptop | (full if name == "full" else {}), name=name)


def seeds(n: int) -> list[int]:
    """``n`` seeds in a row, from 10 on or from ``COURSE_SEED`` on. Pilots used seeds 0–4."""
    first = int(os.environ.get("COURSE_SEED") or 10)
    return list(range(first, first + n))


def learning_rate(step: int, steps: int, *, lr: float, warmup: int, schedule: str = "cosine") -> float:
    """The rate at ``step`` (from 0): a linear rise over ``warmup`` steps, then ``cosine`` or ``linear`` to 0, or ``constant``."""
    if step < warmup:
        return lr * (step + 1) / warmup
    done = (step - warmup) / max(1, steps - warmup)
    return lr * {"cosine": 0.5 * (1 + cos(pi * done)), "linear": 1 - done, "constant": 1.0}[schedule]


@dataclass
class Run:
    """What a training run left behind: the model (in eval mode), the loss of every step, the evaluations, CPU seconds."""

    model: nn.Module
    losses: list[float] = field(default_factory=list)
    evaluations: list[tuple[int, float]] = field(default_factory=list)  # (steps done, value)
    seconds: float = 0.0


def fit(
    model: nn.Module,
    batch: Callable[[torch.Generator], Any],
    loss: Callable[[nn.Module, Any], Tensor],
    *,
    steps: int,
    lr: float,
    seed: int,
    warmup: int = 20,
    schedule: str = "cosine",
    weight_decay: float = 0.0,
    betas: tuple[float, float] = (0.9, 0.98),
    clip: float | None = 1.0,
    accumulate: int = 1,
    evaluate: Callable[[nn.Module], float] | None = None,
    every: int | None = None,
    keep_best: bool = False,
    checkpoint: str | Path | None = None,
    label: str = "training",
) -> Run:
    """Train ``model`` in place with AdamW and return the ``Run``.

    Args:
        batch: draws one batch from the generator that it is given (and from nothing else).
        loss: the scalar loss of the model on a batch.
        seed: seeds the batches' generator and, for dropout, PyTorch's own.
        accumulate: batches whose gradients are averaged before a step. W processes under torchrun take as many each: a step of W processes
            is that of one process with W times as many (apart from dropout, which each process draws for itself).
        weight_decay: applies to matrices; vectors, biases and parameters marked ``p.no_weight_decay = True`` are spared.
        evaluate, every: ``evaluate(model)`` (smaller is better) every so many steps and after the last.
        keep_best: end with the parameters of the best evaluation.
        checkpoint: file that holds the whole state; written at every evaluation, or every 100 steps. If it exists, the run goes on
            from there and ends with the same bits as an undisturbed run on the same machine. Without a name, a long run keeps one
            in the folder COURSE_CHECKPOINTS (``course run --scale full``).

    Raises:
        FloatingPointError: the loss is no longer a finite number.
        ValueError: the checkpoint is that of a run with another seed, rate or number of steps or of batches a step.
    """
    parallel.join(model)
    torch.manual_seed(seed + OTHER * parallel.rank())
    generator = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.AdamW(_groups(model, weight_decay), lr=lr, betas=betas, fused=True)  # one pass a parameter
    run, first, settings = Run(model), 0, {"seed": seed, "steps": steps, "lr": lr, "batches": accumulate * parallel.size()}
    best: tuple[float, dict[str, Tensor] | None] = (float("inf"), None)
    checkpoint = checkpoint or _own_checkpoint()
    if state := parallel.from_first(lambda: checkpoint and Path(checkpoint).exists() and torch.load(checkpoint, weights_only=True)):
        first, best = _resume(state, Path(str(checkpoint)), settings, run, optimiser, generator)
    start = time.process_time() - run.seconds
    model.train()
    for step in tqdm(range(first, steps), desc=label, leave=False, disable=headless(), initial=first, total=steps):
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(step, steps, lr=lr, warmup=warmup, schedule=schedule)
        optimiser.zero_grad(set_to_none=True)
        total = 0.0
        for turn in range(accumulate * parallel.size()):
            drawn = batch(generator)  # by every process, so that all generators stay alike
            if turn % parallel.size() == parallel.rank():
                value = loss(model, drawn) / accumulate
                value.backward()
                total += float(value.detach())
        total = parallel.average(model, total)
        if clip is not None:
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimiser.step()
        run.losses.append(total)
        if not abs(run.losses[-1]) < float("inf"):
            raise FloatingPointError(f"{label}: the loss is {run.losses[-1]} at step {step}; try a smaller learning rate than {lr:g}")
        due = (every is not None and (step + 1) % every == 0) or step + 1 == steps
        if evaluate is not None and due:
            score = parallel.from_first(lambda: _evaluated(model, evaluate))
            run.evaluations.append((step + 1, score))
            if keep_best and score < best[0]:
                best = (score, {name: p.detach().clone() for name, p in model.state_dict().items()})
        if checkpoint and parallel.rank() == 0 and (due or (step + 1) % 100 == 0):
            run.seconds = time.process_time() - start
            _save(Path(checkpoint), settings, step + 1, best, run, optimiser, generator)
    if best[1] is not None:
        model.load_state_dict(best[1])
    model.eval()
    run.seconds = time.process_time() - start
    return run


def _evaluated(model: nn.Module, evaluate: Callable[[nn.Module], float]) -> float:
    """An evaluation leaves no trace: mode, gradients and random numbers are as before."""
    state = torch.get_rng_state()
    model.eval()
    with torch.no_grad():
        score = float(evaluate(model))
    model.train()
    torch.set_rng_state(state)
    return score


def _groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    trained = [p for p in model.parameters() if p.requires_grad]
    spared = [p for p in trained if p.ndim < 2 or getattr(p, "no_weight_decay", False)]
    decayed = [p for p in trained if not any(p is q for q in spared)]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": spared, "weight_decay": 0.0}]


def _save(path: Path, settings: dict, done: int, best: tuple, run: Run, optimiser, generator: torch.Generator) -> None:
    state = {
        "settings": settings,
        "done": done,
        "best": best,
        "model": run.model.state_dict(),
        "losses": run.losses,
        "evaluations": run.evaluations,
        "seconds": run.seconds,
        "optimiser": optimiser.state_dict(),
        "generator": generator.get_state(),
        "torch": torch.get_rng_state(),
    }
    part = path.with_suffix(".part")
    torch.save(state, part)
    part.replace(path)  # a run that is killed while writing leaves the checkpoint before it intact


def _own_checkpoint() -> Path | None:
    """The file of this call of ``fit`` in COURSE_CHECKPOINTS: calls are numbered, since a lesson that is run again makes the same ones."""
    if not (folder := os.environ.get("COURSE_CHECKPOINTS")):
        return None
    Path(folder).mkdir(parents=True, exist_ok=True)
    return Path(folder) / f"{next(_CALLS):04d}.pt"


def _resume(state: dict, path: Path, settings: dict, run: Run, optimiser, generator: torch.Generator) -> tuple[int, tuple]:
    for name, value in settings.items():
        if state["settings"][name] != value:
            was = state["settings"][name]
            raise ValueError(f"{path.name} holds a run with {name}={was}, this one has {name}={value}: delete it, or name another file")
    run.model.load_state_dict(state["model"])
    run.losses, run.evaluations, run.seconds = state["losses"], state["evaluations"], state["seconds"]
    optimiser.load_state_dict(state["optimiser"])
    generator.set_state(state["generator"])
    torch.set_rng_state(state["torch"])
    if parallel.rank():  # the state is that of process 0
        torch.manual_seed(settings["seed"] + OTHER * parallel.rank() + state["done"])
    return state["done"], tuple(state["best"])
