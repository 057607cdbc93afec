"""The other paths through a model: what eval mode, optional targets and switches between implementations lead to.

Only switches that must not change the parametrization count: `model.eval()`, an optional argument of the forward, and
attributes that choose an implementation (`flash`, `use_sdpa`, `_attn_implementation`). Other booleans may switch the
parametrization itself (`use_mup`), so they are left alone.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from .inputs import TARGET_NAMES
from .probe import Inputs

_IMPLEMENTATION = re.compile(
    r"flash|sdpa|eager|triton|xformers|mem(ory)?_?efficient|fast_?path|slow_?path|naive|manual_att|fused_att|"
    r"(use|is|with)_?fused|kernel_impl|parallel_scan|chunked"
)
_CHOICE = re.compile(r"(attn|attention|sdp)_*(impl|implementation|backend|kind|type|mode)|^(backend|implementation)$")
_CHOICES = ("eager", "sdpa", "flash", "math", "manual", "naive", "torch", "native")
_MODE = re.compile(r"train|infer|eval|generat|sampling|decod|predict|last_|only_last|flash|sdpa|eager")

EVAL = "in eval mode"
Rebuild = Callable[[], nn.Module]


@dataclass(frozen=True)
class Path:
    """One way to run a model: `label` completes "only ..."; `enter` yields the model as this path has it.

    inputs: what the forward is called with on this path.
    """

    label: str
    enter: Callable[[nn.Module, Rebuild], AbstractContextManager[nn.Module]]
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
    for name, value in _modes(model, inputs):
        yield Path(f"with {name} = {value}", _as_it_is, _with_argument(name, value))
    yield from _switches(model)


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


# -- modes and switches --------------------------------------------------------------------------------------------
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


def _switches(model: nn.Module) -> Iterator[Path]:
    """One path for every other value of an attribute that chooses an implementation, wherever it stands."""
    found: dict[str, Any] = {}
    for owner in _owners(model):
        for name, value in _attributes(owner).items():
            if name.startswith("_") and name != "_attn_implementation":
                continue
            if (isinstance(value, bool) and _IMPLEMENTATION.search(name.lower())) or (
                isinstance(value, str) and _CHOICE.search(name.lower())
            ):
                found.setdefault(name, value)
    for name, value in found.items():
        if isinstance(value, bool):
            yield Path(f"with {name} = {not value}", _set(name, value, not value))
        else:
            for other in _alternatives(model, name, value):
                yield Path(f"with {name} = {other!r}", _set(name, value, other))


def _owners(model: nn.Module) -> Iterator[Any]:
    """All modules, and the config objects they hold."""
    seen: set[int] = set()
    for module in model.modules():
        yield module
        for held in list(vars(module).values()):
            if id(held) not in seen and _is_config(held):
                seen.add(id(held))
                yield held


def _is_config(held: Any) -> bool:
    """Whether a module's attribute holds settings, under whatever name: not torch's, no function, no class."""
    kind = type(held)
    if not hasattr(held, "__dict__") or callable(held) or isinstance(held, (nn.Module, torch.Tensor, type)):
        return False
    return kind.__module__ not in ("builtins", "collections") and not kind.__module__.startswith("torch.")


def _attributes(owner: Any) -> Mapping[str, Any]:
    found = {name: value for name, value in vars(owner).items() if name != "training"}
    implementation = getattr(owner, "_attn_implementation", None)  # a property of Hugging Face's configs
    return found | ({"_attn_implementation": implementation} if isinstance(implementation, str) else {})


def _alternatives(model: nn.Module, name: str, value: str) -> list[str]:
    """Other values that the code itself mentions."""
    if name == "_attn_implementation":
        return [each for each in ("sdpa", "eager") if each != value]
    sources = "".join(_source(cls) for cls in _classes(model))
    return [each for each in _CHOICES if each != value and (f'"{each}"' in sources or f"'{each}'" in sources)]


def _classes(model: nn.Module) -> list[type]:
    return list(dict.fromkeys(type(module) for module in model.modules()))


@functools.lru_cache(maxsize=256)
def _source(cls: type) -> str:
    try:
        return "" if cls.__module__.startswith("torch.") else inspect.getsource(cls)
    except (OSError, TypeError):
        return ""


def _set(name: str, old: Any, new: Any) -> Callable[[nn.Module, Rebuild], AbstractContextManager[nn.Module]]:
    @contextlib.contextmanager
    def enter(model: nn.Module, rebuild: Rebuild) -> Iterator[nn.Module]:
        detected = old is True and _detects(model)
        with _hidden_kernel() if detected else contextlib.nullcontext():
            subject = rebuild() if detected else model  # what the constructor detects, only a constructor can undo
            changed = [each for each in _owners(subject) if _attributes(each).get(name) == old]
            try:
                for each in changed:
                    setattr(each, name, new)
                yield subject
            finally:
                for each in changed:
                    setattr(each, name, old)

    return enter


def _detects(model: nn.Module) -> bool:
    """Whether a constructor asks `hasattr(F, 'scaled_dot_product_attention')` and prepares for either answer."""
    return any(re.search(r"hasattr\([^)]*scaled_dot_product_attention", _source(cls)) for cls in _classes(model))


@contextlib.contextmanager
def _hidden_kernel() -> Iterator[None]:
    kernel = F.scaled_dot_product_attention
    del F.scaled_dot_product_attention
    try:
        yield
    finally:
        F.scaled_dot_product_attention = kernel
