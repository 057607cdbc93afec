"""Specs by functions: `build(width)`, and optionally batch, loss, optimizer, scheduler and widths."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from muaudit.errors import UserError
from muaudit.target import stream
from muaudit.target.draft import finish
from muaudit.target.loader import near
from muaudit.target.options import MAIN_AXIS, TargetOptions, check_widths
from muaudit.target.probe import Target, WidthAxis
from muaudit.target.trial import Draft, Sizes, Variant
from muaudit.target.widths import PROBES

_FUNCTIONS = ("batch", "batches", "loss", "optimizer", "scheduler")
_EXAMPLE = "a spec looks like this:\n  def build(width):\n      return MyModel(width)"


@dataclass(frozen=True)
class Spec:
    """The functions of a spec; `where` is the file for messages, `called` the name of the build function."""

    build: Callable[..., Any]
    where: str
    called: str = "build"
    batch: Callable[..., Any] | None = None
    batches: Callable[..., Any] | None = None
    loss: Callable[..., Any] | None = None
    optimizer: Callable[..., Any] | None = None
    scheduler: Callable[..., Any] | None = None
    widths: Any = None
    path: Path | None = None


def target_from_module(module: ModuleType, options: TargetOptions, path: Path | None, build: str = "build") -> Target:
    """The target of a file that defines a build function. Raises UserError where the spec is malformed."""
    where = path.name if path else module.__name__
    functions = {name: getattr(module, name, None) for name in _FUNCTIONS}
    for name, function in functions.items():
        if function is not None and not callable(function):
            raise UserError(f"{where}: {name} is of type {type(function).__name__}, expected a function", _EXAMPLE)
    widths = getattr(module, "widths", None)
    return target_from_spec(Spec(getattr(module, build), where, build, widths=widths, path=path, **functions), options)


def target_from_functions(
    build: Callable[..., Any], batch: Callable[..., Any] | None, loss: Callable[..., Any] | None,
    optimizer: Callable[..., Any] | str | None, widths: Sequence[int] | Mapping[str, Sequence[int]] | None,
    name: str | None, options: TargetOptions, scheduler: Callable[..., Any] | None = None,
    batches: Callable[..., Any] | None = None,
