"""One training step shared by several processes, which ``torchrun`` starts; with a single process nothing here does anything.

Every process holds the whole model and takes a batch of its own; what travels is the average of their gradients
(data parallelism; Li et al. 2020, "PyTorch Distributed", section 2.3, without its overlap of backward pass and communication).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

__all__ = ["average", "from_first", "join", "rank", "size"]


def size() -> int:
    """Number of processes."""
    return int(os.environ.get("WORLD_SIZE", 1))


def rank() -> int:
    """Number of this process, from 0."""
    return int(os.environ.get("RANK", 0))


def join(model: nn.Module) -> None:
    """Meet the other processes (where is in torchrun's environment variables) and take process 0's parameters and buffers."""
    if size() == 1:
        return
    if not dist.is_initialized():
        dist.init_process_group("gloo")
    for tensor in model.state_dict().values():
        dist.broadcast(tensor, 0)


def from_first(make: Callable[[], Any]) -> Any:
    """What ``make`` returns in process 0, in all of them."""
    if size() == 1:
        return make()
    box = [make() if rank() == 0 else None]
    dist.broadcast_object_list(box)
    return box[0]


def average(model: nn.Module, value: float) -> float:
    """Replace the gradients by their average over the processes; returns the average of ``value``, the loss.

    A parameter that no process used keeps its gradient None, and the optimiser skips it as it does with one process.
    """
    if size() == 1:
        return value
    trained = [p for p in model.parameters() if p.requires_grad]
    used = torch.tensor([float(p.grad is not None) for p in trained])
    dist.all_reduce(used)
    trained = [p for p, times in zip(trained, used, strict=True) if times]
    pieces = [(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in trained]
    flat = torch.cat([*pieces, torch.tensor([value])]) / size()
    dist.all_reduce(flat)
    for p, piece in zip(trained, flat[:-1].split([p.numel() for p in trained]), strict=True):
        p.grad = piece.view_as(p)
    return float(flat[-1])
