"""Attention heads under width: which of count and size stays fixed, and legal small values for both."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from muaudit.targets import argnames
from muaudit.targets.arguments import MISSING, Leaf
from muaudit.targets.options import TargetOptions

HEAD_DIM = 16
_USUAL_WIDTH = 512
_LEAST, _LEAST_WIDTH = 2, 64
"""At a width of so many, so many heads at least."""


@dataclass(frozen=True)
class Heads:
    """Head arguments. divisor: what a legal width is a multiple of. derived: argument → heads per unit of width."""

    fixed: Mapping[str, int] = field(default_factory=dict)
    derived: Mapping[str, float] = field(default_factory=dict)
    divisor: int = 1
    notes: tuple[str, ...] = ()

    def at(self, name: str, first: int) -> Callable[[int], int]:
        """A growing head count as a function of width: whole at the first probe, in proportion from there."""
        start = max(1, round(self.derived[name] * first))
        return lambda width: max(1, start * width // first)


@dataclass(frozen=True)
class _Found:
    """The head arguments of a model; `set_` are those the user fixed."""

    heads: tuple[str, ...]
    kv: tuple[str, ...]
    dims: tuple[str, ...]
    count: int
    groups: int
    dim: int | None
    frozen: bool


def plan_heads(
    knobs: Mapping[str, Leaf], main: str, options: TargetOptions, shrink: bool, sized: bool = False
) -> Heads:  # fmt: skip
    """A head size of its own stays fixed and the count grows; a derived head size grows and the count stays.

    sized: the size of a head is its own, whether or not it is an argument.
    """
    found = _find(knobs, options)
    shrink = shrink and not found.frozen
    if found.dims and found.dim:
        return _count_grows(found, main, knobs, shrink)
    if not found.heads:
        return Heads()
    if sized and not found.frozen:
        return _number_grows(found, main, knobs)
    return _size_grows(found, main, shrink)


def head_count(knobs: Mapping[str, Leaf], options: TargetOptions) -> str | None:
    """The argument that counts heads, where none says how large one is and the user fixed neither."""
    found = _find(knobs, options)
    return found.heads[0] if found.heads and not (found.dims or found.frozen) else None


def _number_grows(found: _Found, main: str, knobs: Mapping[str, Leaf]) -> Heads:
    width = knobs[main].value
    ratio = max(found.count / (width if type(width) is int else _USUAL_WIDTH), _LEAST / _LEAST_WIDTH)
    notes = (f"{found.heads[0]} grows with {main}: a head has a size of its own",)
    return Heads({}, dict.fromkeys((*found.heads, *found.kv), ratio), 1, notes)


def _size_grows(found: _Found, main: str, shrink: bool) -> Heads:
    count, groups = _small(found) if shrink else (found.count, found.groups)
    fixed = dict.fromkeys(found.heads, count) | dict.fromkeys(found.kv, max(1, count // groups))
    name = found.heads[0]
    notes = [f"{name} stays {count} while {main} grows: the size of a head grows with it"]
    if found.kv:
        notes.append(f"{found.kv[0]} stays {fixed[found.kv[0]]}")
    return Heads(fixed, {}, 2 * count, tuple(notes))


def _count_grows(found: _Found, main: str, knobs: Mapping[str, Leaf], shrink: bool) -> Heads:
    """The published families widen like this: more heads of one size."""
    was = found.dim or HEAD_DIM
    size = HEAD_DIM if shrink and was > HEAD_DIM else was
    width = knobs[main].value
    ratio = found.count * was / width if isinstance(width, int) and found.heads else 1.0
    derived = dict.fromkeys(found.heads, ratio / size)
    if found.groups < found.count or found.count == 1:
        groups = min(found.groups, 4) if shrink else found.groups
        derived |= dict.fromkeys(found.kv, ratio / size / groups)
        fixed = {}
    else:
        fixed = dict.fromkeys(found.kv, 1)
    grows = found.heads[0] if found.heads else "the number of heads"
    note = f"{found.dims[0]} stays {size}: {grows} grows with {main}"
    if ratio != 1.0:
        note += f", heads × size kept at {ratio:g} × {main}"
    return Heads(fixed | dict.fromkeys(found.dims, size), derived, 2 * size, (note,))


def _small(found: _Found) -> tuple[int, int]:
    """Head count and queries per key-value head, such that a head is at least 8 wide at 64."""
    if 64 % (found.count * 8) == 0 and found.count % found.groups == 0:
        return found.count, found.groups
    if found.groups == found.count or not found.kv or found.groups <= 2:
        return 4, 4 if found.groups == found.count and found.kv else max(1, min(found.groups, 2))
    return 8, 4


def _find(knobs: Mapping[str, Leaf], options: TargetOptions) -> _Found:
    def named(table: tuple[str, ...], others: tuple[str, ...] = ()) -> tuple[str, ...]:
        """The arguments called like that, or else those called so after a prefix."""
        numbers = {name: name.rpartition(".")[2] for name in knobs if not isinstance(knobs[name].value, bool)}
        exact = tuple(name for name, short in numbers.items() if argnames.rank(short, table) is not None)
        ends = (name for name, short in numbers.items() if argnames.named(short, table) and name not in others)
        return exact or tuple(ends)

    def value(name: str, otherwise: int) -> Any:
        found = options.set.get(name, knobs[name].value)
        seen = knobs[name].example
        if found is MISSING and seen is not None and isinstance(seen.value, (list, tuple)):
            return seen.value  # one for every stage
        return otherwise if found is MISSING else found

    kv = tuple(name for name in named(argnames.KV_HEADS) if isinstance(value(name, 2), int) and value(name, 2) > 0)
    dims = tuple(
        name
        for name in named(argnames.HEAD_DIM)
        if isinstance(value(name, HEAD_DIM), int) and value(name, HEAD_DIM) > 0
    )
    heads = tuple(name for name in named(argnames.HEADS, (*kv, *dims)) if isinstance(value(name, 4), int))
    count = value(heads[0], 4) if heads else 4
    groups = max(1, count // value(kv[0], 2)) if kv else 1
    return _Found(
        heads, kv, dims, count, groups, value(dims[0], HEAD_DIM) if dims else None,
        any(name in options.set for name in (*heads, *kv, *dims)),
    )  # fmt: skip
