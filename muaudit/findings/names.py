"""Folding repeated blocks: `blocks.0.up.weight`, `blocks.1.up.weight` → `blocks.*.up.weight`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_LONGEST = 90  # characters of a pattern that stands for several names
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
