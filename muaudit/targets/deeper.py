"""What makes a model deeper: the constructor arguments that say how many blocks it repeats, and probes of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from muaudit.errors import UserError
from muaudit.targets import argnames
from muaudit.targets.arguments import MISSING, Leaf
from muaudit.targets.loader import near
from muaudit.targets.options import MAIN_AXIS, TargetOptions
from muaudit.targets.probe import WidthAxis

_NAMES = (*argnames.DEPTH, "depths", "stage_depths")
_LEAST = 2  # blocks of a first probe, where nothing speaks for more


def depth_axes(
    knobs: Mapping[str, Leaf], fixed: Mapping[str, Any], options: TargetOptions, label: str
) -> tuple[WidthAxis, ...]:
    """The arguments that are depths, all of which grow together; those that the user named alone, where he named some.

    fixed: what the small model is built with. A list of depths is probed by one number, of every entry.

    Raises:
        UserError: a name that is no argument.
    """
    named = [name for name in options.depths if name != MAIN_AXIS]
    for name in named:
        if name not in knobs:
            raise UserError(f"{label} has no argument {name!r} that could grow", near(name, knobs, "its arguments"))
    found = named or [name for name, leaf in knobs.items() if is_depth(name) and (name in fixed or _is_count(leaf))]
    return tuple(_axis(name, knobs[name].value, fixed.get(name), options) for name in found)


def is_depth(name: str) -> bool:
    """Whether an argument is called like a number of blocks."""
    return argnames.rank(name.rpartition(".")[2], _NAMES) is not None


def given_depths(options: TargetOptions, name: str) -> tuple[int, ...] | None:
    """The probes that the user asked for, of this argument or of all."""
    return options.depths.get(name) or options.depths.get(MAIN_AXIS)


def of_depths(knobs: Mapping[str, Leaf], sizes: Mapping[str, int]) -> dict[str, Any]:
    """Constructor arguments for these numbers of blocks; a list gets the number in every entry."""
    return {name: _formed(knobs[name], size) for name, size in sizes.items() if name in knobs}


def _formed(leaf: Leaf, size: int) -> Any:
    if isinstance(leaf.value, (list, tuple)):
        return type(leaf.value)(size for _ in leaf.value)
    return leaf.form.of((size,) * leaf.form.length) if leaf.form is not None else size


def _axis(name: str, own: Any, used: Any, options: TargetOptions) -> WidthAxis:
    """used: the small model's. The first probe has as many blocks, so that every kind of block is there."""
    default = own if type(own) is int else sum(own) if _is_list(own) else None
    small = used if type(used) is int else own if type(own) is int else _LEAST
    first = max(1, small)
    return WidthAxis(name, given_depths(options, name) or (first, 2 * first), default, _is_list(own))


def _is_count(leaf: Leaf) -> bool:
    return leaf.value is not MISSING and ((type(leaf.value) is int and leaf.value > 0) or _is_list(leaf.value))


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and bool(value) and all(type(each) is int for each in value)
