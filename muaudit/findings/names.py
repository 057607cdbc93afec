"""Folding repeated blocks: `blocks.0.up.weight`, `blocks.1.up.weight` → `blocks.*.up.weight`."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence

_LONGEST = 90  # characters of a pattern that stands for several names
_SHORT = 60  # characters of a list of names in a table
_NUMBER = re.compile(r"(?<![^.])\d+(?![^.])")


def pattern_of(name: str) -> str:
    """The name with every numeric component replaced by `*`."""
    return _NUMBER.sub("*", name)


def fold(names: list[str]) -> str:
    """What the names have in common, `*` for the numbers in which they differ; the first one's pattern if in others."""
    parts = [name.split(".") for name in names]
    if len({len(part) for part in parts}) > 1:
        return pattern_of(names[0])
    columns = [set(column) for column in zip(*parts, strict=True)]
    if any(len(column) > 1 and not all(each.isdigit() for each in column) for column in columns):
        return pattern_of(names[0])
    return ".".join("*" if len(column) > 1 else column.pop() for column in columns)


def pattern_of_all(names: Iterable[str]) -> str:
    """The names of repeated blocks folded, then written as one."""
    alike: dict[str, list[str]] = {}
    for name in names:
        alike.setdefault(pattern_of(name), []).append(name)
    return braced([fold(group) for group in alike.values()])


def _shared(parts: Sequence[Sequence[str]]) -> list[str]:
    """What all of them start with."""
    shared: list[str] = []
    for column in zip(*parts, strict=False):
        if len(set(column)) > 1:
            break
        shared.append(column[0])
    return shared


def braced(patterns: Sequence[str]) -> str:
    """`h.*.{attn.c_attn,mlp.c_fc}.weight` for several patterns; nothing where that gets long."""
    distinct = list(dict.fromkeys(patterns))
    if len(distinct) == 1:
        return distinct[0]
    parts = [each.split(".") for each in distinct]
    head = _shared(parts)
    tail = _shared([part[len(head) + 1 :][::-1] for part in parts])[::-1]
    middles = [".".join(part[len(head) : len(part) - len(tail)]) for part in parts]
    text = ".".join([*head, "{" + ",".join(middles) + "}", *tail])
    return text if len(text) <= _LONGEST else ""


def named(names: Sequence[str]) -> str:
    """Many names in the space of one: what only a number tells apart together, `net.{0,2}.weight`; then a count."""
    alike: dict[str, list[list[str]]] = {}
    for name in dict.fromkeys(names):
        alike.setdefault(pattern_of(name), []).append(name.split("."))
    shown = [text for group in alike.values() for text in _products(group)]
    whole = _nested([each.split(".") for each in shown])
    if len(whole) <= _SHORT or len(shown) == 1:
        return whole
    count = next((n for n in range(len(shown) - 1, 1, -1) if len(", ".join(shown[:n])) <= _SHORT), 1)
    return f"{', '.join(shown[:count])} and {len(shown) - count} more"


def _nested(parts: Sequence[Sequence[str]]) -> str:
    """`{blocks.*.{up,down},head}.weight`: what names share is written once, at every level."""
    if len(parts) == 1:
        return ".".join(parts[0])
    head = _shared(parts)
    shortest = min(map(len, parts)) - len(head)
    tail = _shared([part[len(head) :][::-1] for part in parts])[: max(0, shortest - 1)][::-1]
    alike: dict[str, list[Sequence[str]]] = {}
    for part in parts:
        middle = part[len(head) : len(part) - len(tail)]
        alike.setdefault(middle[0] if middle else "", []).append(middle)
    return ".".join([*head, "{" + ",".join(map(_nested, alike.values())) + "}", *tail])


def _products(group: Sequence[Sequence[str]]) -> list[str]:
    """Names that differ in numbers alone as one, where they are all combinations of these; else as they are."""
    columns = [list(dict.fromkeys(column)) for column in zip(*group, strict=True)]
    if math.prod(map(len, columns)) != len(group):
        return [".".join(parts) for parts in group]
    return [".".join(column[0] if len(column) == 1 else "{" + ",".join(column) + "}" for column in columns)]


def listed_names(names: Iterable[str]) -> list[str]:
    """The names of repeated blocks as one, with their number: `blocks.*.up.weight (×12)`."""
    folded: dict[str, list[str]] = {}
    for name in names:
        folded.setdefault(pattern_of(name), []).append(name)
    return [f"{pattern} (×{len(each)})" if len(each) > 1 else each[0] for pattern, each in folded.items()]
