"""Folding repeated blocks: `blocks.0.up.weight`, `blocks.1.up.weight` → `blocks.*.up.weight`."""

from __future__ import annotations

import re

_NUMBER = re.compile(r"(?<![^.])\d+(?![^.])")


def pattern_of(name: str) -> str:
    """The name with every numeric component replaced by `*`."""
    return _NUMBER.sub("*", name)


def fold(names: list[str]) -> str:
    """One name as it is, several as their common pattern."""
    return names[0] if len(names) == 1 else pattern_of(names[0])
