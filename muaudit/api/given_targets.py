"""What a function of the API is given as a target: a file and a name, or Python functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..plan.file import load_plan
from ..plan.plan import Plan
from ..plan.planned import planned
from ..targets import Target, TargetOptions, from_functions, resolve

Given = str | Path | Callable[..., Any]
"""`model.py`, `model.py:GPT`, `package.module:GPT` or a Hugging Face config; or `build(width)`, a model class."""


def target_of(given: Given, options: TargetOptions, functions: Mapping[str, Any]) -> Target:
    """The target. functions: batch, loss, optimizer, scheduler, widths and init, for `build(width)`.

    Raises:
        UserError: it cannot be built or driven.
    """
    if isinstance(given, (str, Path)):
        return resolve(str(given), options)
    return from_functions(given, options=options, **functions)


def options_of(
    widths: Sequence[int] | Mapping[str, Sequence[int]] | None, set_: Mapping[str, Any] | None, optimizer: Any,
    depths: Sequence[int] | Mapping[str, Sequence[int]] | None = None,
) -> TargetOptions:  # fmt: skip
    """Those of a target that is given by its name."""
    named = {name: tuple(sizes) for name, sizes in widths.items()} if isinstance(widths, Mapping) else {}
    name = optimizer if isinstance(optimizer, str) else None
    deeper = {name: tuple(sizes) for name, sizes in depths.items()} if isinstance(depths, Mapping) else {}
    return TargetOptions(widths=named, set=dict(set_ or {}), optimizer=name, depths=deeper)


def converted(target: Target, plan: Plan | str | Path | None) -> Target:
    """The target as a plan converts it, where one is given."""
    if plan is None:
        return target
    return planned(target, plan if isinstance(plan, Plan) else load_plan(plan))
