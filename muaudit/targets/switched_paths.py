"""The other paths through a model: what eval mode, optional targets and switches between implementations lead to.

Only switches that must not change the parametrization count: `model.eval()`, an optional argument of the forward, and
attributes that choose an implementation (`flash`, `use_sdpa`, `_attn_implementation`). Other booleans may switch the
parametrization itself (`use_mup`), so they are left alone.
"""

from __future__ import annotations

import contextlib
import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from .probe import Inputs
from .slots import TARGET_NAMES
from .switches import Enter, Rebuild, switches

_MASKS = ("attention_mask", "attn_mask", "padding_mask", "key_padding_mask", "mask")
_MODE = re.compile(r"train|infer|eval|generat|sampling|decod|predict|last_|only_last|flash|sdpa|eager")

EVAL = "in eval mode"


@dataclass(frozen=True)
class Path:
    """One way to run a model: `label` completes "only ..."; `enter` yields the model as this path has it.

    inputs: what the forward is called with on this path.
    """

    label: str
    enter: Enter
    inputs: Callable[[Inputs], Inputs] = lambda inputs: inputs


def paths(model: nn.Module, inputs: Inputs) -> Iterator[Path]:
    """The paths of `model` besides the one that `inputs` takes in training mode. Not every one may run."""
    yield Path(EVAL, _eval)
    passed = [name for name, value in _optional(model, inputs) if value]
    targets = [name for name in passed if name in TARGET_NAMES]
    for name in passed:
        yield Path(f"without {name}", _as_it_is, _without(model, (name,)))
    if targets:
        yield Path(f"{EVAL} without {' and '.join(targets)}", _eval, _without(model, tuple(targets)))
    missing = [name for name, value in _optional(model, inputs) if not value and name in TARGET_NAMES]
    if missing and not targets:
        yield Path(f"with {missing[0]}", _as_it_is, _with_targets(missing[0]))
    yield from _masked(model, inputs)
    for name, value in _modes(model, inputs):
        yield Path(f"with {name} = {value}", _as_it_is, _with_argument(name, value))
    for label, enter in switches(model):
        yield Path(label, enter)


# -- what the forward is called with -------------------------------------------------------------------------------
def _optional(model: nn.Module, inputs: Inputs) -> list[tuple[str, bool]]:
    """The optional arguments of the forward (default None), the main one apart, and whether each is passed a tensor."""
    try:
        signature = inspect.signature(model.forward)
        bound = signature.bind(*inputs.args, **inputs.kwargs).arguments
    except (TypeError, ValueError):
        return []
    return [
        (name, isinstance(bound.get(name), torch.Tensor))
        for name, parameter in list(signature.parameters.items())[1:]
        if parameter.default is None
    ]


def _modes(model: nn.Module, inputs: Inputs) -> list[tuple[str, bool]]:
    """Boolean arguments of the forward that say what it is run for, each with the value it does not have."""
    try:
        signature = inspect.signature(model.forward)
        bound = signature.bind(*inputs.args, **inputs.kwargs)
    except (TypeError, ValueError):
        return []
    bound.apply_defaults()
    found = {name: value for name, value in bound.arguments.items() if isinstance(value, bool)}
    positional = len(inputs.args)  # what is passed by position stays as it is
    named = list(signature.parameters)[positional:]
    return [(name, not value) for name, value in found.items() if name in named and _MODE.search(name.lower())]


def _with_argument(name: str, value: Any) -> Callable[[Inputs], Inputs]:
    return lambda full: replace(full, kwargs={**full.kwargs, name: value})


def _without(model: nn.Module, names: tuple[str, ...]) -> Callable[[Inputs], Inputs]:
    order = list(inspect.signature(model.forward).parameters)
    places = {order.index(name) for name in names}

    def inputs(full: Inputs) -> Inputs:
        args = tuple(None if place in places else value for place, value in enumerate(full.args))
        kwargs = {name: value for name, value in full.kwargs.items() if name not in names}
        return replace(full, args=args, kwargs=kwargs)

    return inputs


def _with_targets(name: str) -> Callable[[Inputs], Inputs]:
    """The tokens themselves as targets: which ones they are changes no exponent."""

    def inputs(full: Inputs) -> Inputs:
        values = [v for v in (*full.args, *full.kwargs.values()) if isinstance(v, torch.Tensor)]
        tokens = next((v for v in values if not v.is_floating_point()), None)
        return full if tokens is None else replace(full, kwargs={**full.kwargs, name: tokens})

    return inputs


def _masked(model: nn.Module, inputs: Inputs) -> Iterator[Path]:
    """A mask over the tokens that lets all through, where the forward takes one: as numbers, else as booleans.

    Models of the transformers library are left out: what they do with a mask is not the user's doing.
    """
    tokens = inputs.args[0] if inputs.args else next(iter(inputs.kwargs.values()), None)
    if type(model).__module__.startswith("transformers.") or not isinstance(tokens, torch.Tensor):
        return
    names = [name for name, value in _optional(model, inputs) if not value and name in _MASKS]
    if names and tokens.dim() == 2 and not tokens.is_floating_point():
        for dtype in (torch.float32, torch.bool):
            yield Path(f"with {names[0]}", _as_it_is, _with_mask(names[0], dtype))


def _with_mask(name: str, dtype: torch.dtype) -> Callable[[Inputs], Inputs]:
    def inputs(full: Inputs) -> Inputs:
        tokens = full.args[0] if full.args else next(iter(full.kwargs.values()))
        return replace(full, kwargs={**full.kwargs, name: torch.ones_like(tokens, dtype=dtype)})

    return inputs


# -- modes --------------------------------------------------------------------------------------------
@contextlib.contextmanager
def _as_it_is(model: nn.Module, rebuild: Rebuild) -> Iterator[nn.Module]:
    yield model


@contextlib.contextmanager
def _eval(model: nn.Module, rebuild: Rebuild) -> Iterator[nn.Module]:
    modes = [(module, module.training) for module in model.modules()]
    try:
        yield model.eval()
    finally:
        for module, training in modes:
            module.training = training
