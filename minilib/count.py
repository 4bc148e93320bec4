"""Counting instead of timing: parameters, FLOPs, bytes; and medians of CPU time where a duration is what matters."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

__all__ = ["bench", "flops", "nbytes", "parameters"]


def parameters(model: nn.Module, *, trainable: bool = False) -> int:
    """The number of parameters; one that is used twice (tied embeddings) counts once."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad or not trainable)


def flops(fn: Callable, *args: Any, **kwargs: Any) -> int:
    """FLOPs of one call as PyTorch counts them: 2 for a multiply-add of matrix products, convolutions and attention; the rest free."""
    with torch.no_grad(), FlopCounterMode(display=False, custom_mapping=_ON_CPU) as counter:
        fn(*args, **kwargs)
    return counter.get_total_flops()


def nbytes(*tensors: torch.Tensor) -> int:
    """Bytes that the tensors' elements take."""
    return sum(t.numel() * t.element_size() for t in tensors)


def _attention_flops(q, k, v, *_: Any, out_shape: Any = None, **__: Any) -> int:
    return sdpa_flop_count(q, k, v)


# PyTorch's counter knows the GPU's fused attention only, and would count the CPU's as nothing
_ON_CPU: dict[Any, Any] = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention_flops}


def bench(repeats: int = 20, **calls: Callable[[], Any]) -> dict[str, float]:
    """Median CPU seconds of each call, taken in turns so that a slow moment of the machine meets all of them."""
    for call in calls.values():
        call()
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            start = time.process_time()
            call()
            times[name].append(time.process_time() - start)
    return {name: median(values) for name, values in times.items()}
