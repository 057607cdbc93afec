"""Compiled modules run as they are written: what is audited is the model, not what a compiler makes of it.

A compiler takes longer than an audit, importing it as long as torch itself, and its kernels tell nothing of the
operations in them. So `torch.compile` returns what it is given. What is compiled already runs without its kernels.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn


def for_good() -> None:
    """From here on nothing is compiled in this process, nor in what is forked from it."""
    torch.compile = _compile
    if "torch._dynamo" in sys.modules:
        torch.compiler.set_stance("force_eager")


@contextmanager
def eagerly() -> Iterator[None]:
    """Nothing is compiled inside."""
    compile_ = torch.compile
    before = torch._dynamo.eval_frame._stance.stance if "torch._dynamo" in sys.modules else "default"
    for_good()
    try:
        yield
    finally:
        torch.compile = compile_
        if "torch._dynamo" in sys.modules:
            torch.compiler.set_stance(before)


def _compile(model: Callable[..., Any] | None = None, **options: Any) -> Any:
    """In the place of `torch.compile`, as a function and as a decorator with options."""
    if model is None:
        return _compile
    if isinstance(model, nn.Module):
        # For code that looks behind the wrapper, which is not there. Beside the submodules, so that it is none of them.
        model.__dict__["_orig_mod"] = model
    return model
