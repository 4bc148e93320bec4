"""Which form of a kernel runs: the reference, the fast PyTorch form, or Triton.

``backend="auto"`` is Triton on a GPU that has it, else the fast form. On a CPU the Triton forms run in Triton's interpreter, for learning
and for the tests: set ``TRITON_INTERPRET=1`` before anything is imported.
"""

import os
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

try:
    import triton
    import triton.language as tl
except ImportError:  # Triton is optional; without it the kernels below are never called
    triton = None
    tl = SimpleNamespace(constexpr=Any)

__all__ = ["BACKENDS", "choose", "interpreted", "jit", "need", "next_power_of_2", "tl", "triton"]

BACKENDS = ("auto", "reference", "fast", "triton")


def jit(kernel: Callable) -> Any:
    """``triton.jit`` where Triton is installed; elsewhere the function stays plain Python and is never launched."""
    return triton.jit(kernel) if triton is not None else kernel


def interpreted() -> bool:
    """True where Triton kernels run in the CPU interpreter."""
    return os.environ.get("TRITON_INTERPRET") == "1"


def choose(backend: str, x: Tensor) -> str:
    """``auto`` becomes ``triton`` or ``fast``; the others are checked.

    Raises:
        ValueError: an unknown backend, or Triton asked for where it cannot run.
    """
    if backend not in BACKENDS:
        raise ValueError(f"backend is {backend!r}; it must be one of {', '.join(BACKENDS)}")
    if backend == "auto":
        return "triton" if triton is not None and x.is_cuda else "fast"
    if backend == "triton":
        if triton is None:
            raise ValueError("backend='triton' needs the package triton: pip install triton (Linux)")
        if not x.is_cuda and not interpreted():
            raise ValueError("backend='triton' needs tensors on a GPU, or TRITON_INTERPRET=1 set before Python starts")
    return backend


def need(name: str, x: Tensor, shape: tuple[int | None, ...], *, floating: bool = True) -> None:
    """Check one argument: its shape (None for any size) and that it holds floating-point numbers.

    Raises:
        ValueError: names the argument, what it got and what it wants.
    """
    fits = x.ndim == len(shape) and all(want is None or want == got for want, got in zip(shape, x.shape, strict=True))
    if not fits:
        wanted = ", ".join("any" if size is None else str(size) for size in shape)
        raise ValueError(f"{name} has shape {tuple(x.shape)}; it must be ({wanted})")
    if floating and not x.is_floating_point():
        raise ValueError(f"{name} has dtype {x.dtype}; it must be a floating-point type")


def next_power_of_2(n: int) -> int:
    """The smallest power of two that is at least n: Triton's blocks have such sizes."""
    return 1 << max(0, n - 1).bit_length()


def float_type(x: Tensor) -> torch.dtype:
    """The type that sums are kept in: float64 for float64, else float32."""
    return torch.float64 if x.dtype == torch.float64 else torch.float32
