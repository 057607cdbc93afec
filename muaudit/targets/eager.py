"""Compiled modules run as they are written: what is audited is the model, not what a compiler makes of it.

A compiler takes longer than an audit, importing it as long as torch itself, and its kernels tell nothing of the
operations in them. So `torch.compile` and `torch.jit.script` return what they are given, and a ScriptModule is a
module. What is compiled already runs without its kernels.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FunctionType
from typing import Any

import torch
from torch import nn

from muaudit.targets import devices

_SCRIPT = torch.jit.script


def for_good() -> None:
    """From here on nothing is compiled in this process, nor in what is forked from it."""
    for owner, name, value in _replaced():
        setattr(owner, name, value)
    if "torch._dynamo" in sys.modules:
        torch.compiler.set_stance("force_eager")


@contextmanager
def eagerly() -> Iterator[None]:
    """Nothing is compiled inside."""
    kept = [(owner, name, getattr(owner, name)) for owner, name, _ in _replaced()]
    before = torch._dynamo.eval_frame._stance.stance if "torch._dynamo" in sys.modules else "default"
    for_good()
    try:
        yield
    finally:
        for owner, name, value in kept:
            setattr(owner, name, value)
        devices.as_it_is()
        if "torch._dynamo" in sys.modules:
            torch.compiler.set_stance(before)


def _replaced() -> Iterator[tuple[Any, str, Any]]:
    """(where, name, what stands there) of every compiler."""
    yield torch, "compile", _compile
    yield torch.jit, "script", _script
    yield torch.jit, "script_method", _script
    yield torch.jit, "ScriptModule", _Uncompiled


class _Uncompiled(nn.Module):
    """In the place of `torch.jit.ScriptModule`: the module as it is written."""


def _script(made: Any = None, *given: Any, **options: Any) -> Any:
    """In the place of `torch.jit.script`, of a function, a class or a module, and of `script_method`.

    torch itself looks into the graphs of its own functions: to take derivatives forwards.
    """
    own = isinstance(made, FunctionType) and made.__module__.startswith("torch.")
    return _SCRIPT(made, *given, **options) if own else made


def _compile(model: Callable[..., Any] | None = None, **options: Any) -> Any:
    """In the place of `torch.compile`, as a function and as a decorator with options."""
    if model is None:
        return _compile
    if isinstance(model, nn.Module):
        # For code that looks behind the wrapper, which is not there. Beside the submodules, so that it is none of them.
        model.__dict__["_orig_mod"] = model
    return model
