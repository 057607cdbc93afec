"""Switches between implementations of one computation: flags and names that modules, or their settings, hold."""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from .source import class_text

_IMPLEMENTATION = re.compile(
    r"flash|sdpa|eager|triton|xformers|mem(ory)?_?efficient|fast_?path|slow_?path|naive|manual_att|fused_att|"
    r"(use|is|with)_?fused|kernel_impl|parallel_scan|chunked"
)
_CHOICE = re.compile(r"(attn|attention|sdp)_*(impl|implementation|backend|kind|type|mode)|^(backend|implementation)$")
_CHOICES = ("eager", "sdpa", "flash", "math", "manual", "naive", "torch", "native")

Rebuild = Callable[[], nn.Module]
Enter = Callable[[nn.Module, Rebuild], AbstractContextManager[nn.Module]]


def switches(model: nn.Module) -> Iterator[tuple[str, Enter]]:
    """For every other value of an attribute that chooses an implementation: in words, and a way into it."""
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
            yield f"with {name} = {not value}", _set(name, value, not value)
        else:
            for other in _alternatives(model, name, value):
                yield f"with {name} = {other!r}", _set(name, value, other)


def _owners(model: nn.Module) -> Iterator[Any]:
    """All modules, and the objects and dicts of settings they hold."""
    seen: set[int] = set()
    for module in model.modules():
        yield module
        for name, held in list(vars(module).items()):
            if not name.startswith("_") and id(held) not in seen and (isinstance(held, dict) or _is_config(held)):
                seen.add(id(held))
                yield held


def _is_config(held: Any) -> bool:
    """Whether a module's attribute holds settings, under whatever name: not torch's, no function, no class."""
    kind = type(held)
    if not hasattr(held, "__dict__") or callable(held) or isinstance(held, (nn.Module, torch.Tensor, type)):
        return False
    return kind.__module__ not in ("builtins", "collections") and not kind.__module__.startswith("torch.")


def _attributes(owner: Any) -> Mapping[str, Any]:
    if isinstance(owner, dict):
        return {key: value for key, value in owner.items() if isinstance(key, str)}
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
    return "" if cls.__module__.startswith("torch.") else class_text(cls)


def _set(name: str, old: Any, new: Any) -> Enter:
    @contextlib.contextmanager
    def enter(model: nn.Module, rebuild: Rebuild) -> Iterator[nn.Module]:
        detected = old is True and _detects(model)
        with _hidden_kernel() if detected else contextlib.nullcontext():
            subject = rebuild() if detected else model  # what the constructor detects, only a constructor can undo
            changed = [each for each in _owners(subject) if _attributes(each).get(name) == old]
            try:
                for each in changed:
                    _put(each, name, new)
                yield subject
            finally:
                for each in changed:
                    _put(each, name, old)

    return enter


def _put(owner: Any, name: str, value: Any) -> None:
    if isinstance(owner, dict):
        owner[name] = value
    else:
        setattr(owner, name, value)


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
