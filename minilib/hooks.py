"""Looking into a model and changing what flows through it: record, replace, patch, ablate. Introduced in lessons 41 and 42.

A *site* is the name of a submodule as ``model.named_modules()`` gives it (``"stack.blocks.0.mlp"``); its activation is what that module
returns. Nothing here changes the model: every hook is removed when the call or the ``with`` block ends.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["ablate", "cache", "grad_reverse", "patch", "splice"]


def _module(model: nn.Module, site: str) -> nn.Module:
    modules = dict(model.named_modules())
    if site not in modules:
        near = [name for name in modules if site.split(".")[-1] in name][:5]
        raise ValueError(f"the model has no site {site!r}" + (f"; near it are {', '.join(near)}" if near else ""))
    return modules[site]


@contextmanager
def cache(model: nn.Module, sites: Sequence[str], *, inputs: bool = False) -> Iterator[dict[str, Tensor]]:
    """Record the outputs of the sites (or, with ``inputs``, their first inputs) of every call inside the block, the last call winning.

    ::

        with cache(model, ["stack.blocks.0.mlp"]) as seen:
            model(tokens)
        seen["stack.blocks.0.mlp"]            # (B, T, D)
    """
    seen: dict[str, Tensor] = {}

    def record(site: str) -> Callable:
        def hook(_: nn.Module, given: tuple, output: Tensor) -> None:
            seen[site] = given[0] if inputs else output

        return hook

    handles = [_module(model, site).register_forward_hook(record(site)) for site in sites]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def splice(model: nn.Module, site: str, fn: Callable[[Tensor, Tensor], Tensor]) -> Iterator[None]:
    """Inside the block the site returns ``fn(input, output)`` instead of its output: the module's place is taken by another."""
    handle = _module(model, site).register_forward_hook(lambda _, given, output: fn(given[0], output))
    try:
        yield
    finally:
        handle.remove()


def patch(model: nn.Module, site: str, value: Float[Tensor, "b t d"], positions: Any = slice(None)):
    """A ``splice`` that puts ``value`` at some positions: activation patching. ``positions`` indexes the second axis."""

    def put(_: Tensor, output: Tensor) -> Tensor:
        changed = output.clone()
        changed[:, positions] = value[:, positions]
        return changed

    return splice(model, site, put)


def ablate(model: nn.Module, site: str, value: Float[Tensor, "..."] | float = 0.0):
    """A ``splice`` that returns a constant: zero, or for instance the mean activation (broadcast to the output's shape)."""
    return splice(model, site, lambda _, output: torch.as_tensor(value, dtype=output.dtype).expand_as(output))


class _Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, lam):
        ctx.lam = lam
        return x.view_as(x)

    @staticmethod
    def backward(ctx, grad):
        return -ctx.lam * grad, None


def grad_reverse(x: Float[Tensor, "*b d"], lam: float = 1.0) -> Float[Tensor, "*b d"]:
    """The identity going forward; going back the gradient is multiplied by −λ (Ganin and Lempitsky 2015)."""
    return _Reverse.apply(x, lam)
