"""Custom `autograd.Function`s: how far their backward is from the derivative of their forward.

A function's own backward may scale gradients differently from its forward (unit scaling does, arXiv 2303.11257). The
forward is recorded like any other code. For the backward, every call is run again on the same values, twice: through
the function and through the plain operations of its forward. The ratio of the two gradients, at both widths, is a power
of width that the optimizers which see gradient sizes have to answer for.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import fx
from torch.autograd import Function

from ..targets.memory import kept

_SEED = 20_220_309


@dataclass
class Crossing:
    """One tensor that goes into a custom function.

    ratio: rms of its gradient through the function over that through the plain forward, None when not known.
    """

    tensor: torch.Tensor
    ratio: float | None
    before: fx.Node | None = None


class Watcher(Protocol):
    """What is told about custom functions: the recorder. While it is not `active`, nothing is recorded."""

    active: bool

    def enter_function(self, inputs: list[Crossing]) -> None: ...
    def leave_function(self, inputs: list[Crossing]) -> None: ...


def function_input(value: Any) -> Any:
    """Stands in the graph for a tensor on its way into a custom function."""
    raise NotImplementedError("a marker in recorded graphs, never executed")


@contextmanager
def function_calls(watcher: Watcher) -> Iterator[None]:
    """Tell `watcher` about every call of a custom function; those of torch itself (checkpointing) are left alone."""
    original = Function.__dict__["apply"]

    def apply(cls: Any, *args: Any, **kwargs: Any) -> Any:
        run = original.__get__(None, cls)
        if not watcher.active:
            return run(*args, **kwargs)
        of_torch = cls.__module__.partition(".")[0] == "torch"
        inputs = [] if of_torch else _crossings(cls, run, args, kwargs, watcher)
        watcher.enter_function(inputs)
        try:
            return run(*args, **kwargs)
        finally:
            watcher.leave_function(inputs)

    Function.apply = classmethod(apply)  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        Function.apply = original  # type: ignore[method-assign]


def _crossings(cls: Any, run: Any, args: Any, kwargs: Any, watcher: Watcher) -> list[Crossing]:
    trained = [a for a in args if isinstance(a, torch.Tensor) and a.requires_grad]
    if not trained:
        return []
    watcher.active = False
    try:
        ratios = _ratios(cls, run, args, kwargs)
    finally:
        watcher.active = True
    return [Crossing(tensor, ratio) for tensor, ratio in zip(trained, ratios, strict=True)]


def _ratios(cls: Any, run: Any, args: Any, kwargs: Any) -> list[float | None]:
    try:
        with torch.random.fork_rng(devices=[]), torch.enable_grad(), kept():
            own, weights = _gradients(run, args, kwargs)
            plain, _ = _gradients(lambda *a, **k: _plain(cls, a, k), args, kwargs)
    except Exception:  # whatever the function needs that is not there: its backward is then not known
        return [None for a in args if isinstance(a, torch.Tensor) and a.requires_grad]
    return [_ratio(a, b, weights) for a, b in zip(own, plain, strict=True)]


def _gradients(run: Any, args: Any, kwargs: Any) -> tuple[list[torch.Tensor | None], list[torch.Tensor]]:
    """Gradients of fixed random weights on the outputs with respect to the inputs, and these weights."""
    copies = [a.detach().clone().requires_grad_(a.requires_grad) if isinstance(a, torch.Tensor) else a for a in args]
    out = run(*copies, **kwargs)
    outputs = [o for o in (out if isinstance(out, (tuple, list)) else (out,)) if isinstance(o, torch.Tensor)]
    generator = torch.Generator().manual_seed(_SEED)
    weights = [torch.randn(o.shape, generator=generator).to(o) for o in outputs]
    inputs = [c for c in copies if isinstance(c, torch.Tensor) and c.requires_grad]
    pairs = [(o, w) for o, w in zip(outputs, weights, strict=True) if o.requires_grad]
    if not pairs:
        return [None] * len(inputs), weights
    found = torch.autograd.grad([o for o, _ in pairs], inputs, [w for _, w in pairs], allow_unused=True)
    return list(found), weights


def _ratio(own: torch.Tensor | None, plain: torch.Tensor | None, weights: list[torch.Tensor]) -> float | None:
    """Where the plain derivative is zero (rounding), what came in from behind stands for it, entry by entry."""
    reference = plain if plain is not None and bool(plain.any()) else None
    if reference is None and own is not None and len(weights) == 1 and weights[0].shape == own.shape:
        reference = weights[0]
    return None if reference is None or own is None else _rms(own) / _rms(reference)


def _rms(tensor: torch.Tensor) -> float:
    return float(tensor.detach().double().square().mean().sqrt())


def _plain(cls: Any, args: Any, kwargs: Any) -> Any:
    if cls.setup_context is not Function.setup_context:
        return cls.forward(*args, **kwargs)
    return cls.forward(_Context(args), *args, **kwargs)


class _Context:
    """A context that keeps what a forward hangs on it, and saves nothing."""

    def __init__(self, args: Any) -> None:
        self.needs_input_grad = tuple(isinstance(a, torch.Tensor) and a.requires_grad for a in args)

    def save_for_backward(self, *tensors: Any) -> None: ...
    def save_for_forward(self, *tensors: Any) -> None: ...
    def mark_dirty(self, *tensors: Any) -> None: ...
    def mark_non_differentiable(self, *tensors: Any) -> None: ...
    def set_materialize_grads(self, value: bool) -> None: ...
