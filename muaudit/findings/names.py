"""Folding repeated blocks: `blocks.0.up.weight`, `blocks.1.up.weight` → `blocks.*.up.weight`."""

from __future__ import annotations

import re

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
