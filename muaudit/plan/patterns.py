"""Which of many patterns cover a name, found without trying each: a plan of thousands of entries stays linear."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

_Mask = tuple[int, ...]


@lru_cache(maxsize=65536)
def name_regex(pattern: str) -> re.Pattern[str]:
    """`h.*.attn.weight` as a regular expression, `*` being a whole number between dots."""
    return re.compile(r"\d+".join(re.escape(part) for part in pattern.split("*")))


def plain_name(name: str) -> str:
    """A parameter's name without what torch.compile, DDP and checkpoint wrappers put into it."""
    parts = [
        part
        for part in name.split(".")
        if part not in ("_orig_mod", "_checkpoint_wrapped_module", "_fsdp_wrapped_module")
    ]
    return ".".join(parts[1:] if parts[:1] == ["module"] and len(parts) > 1 else parts)


class Patterns:
    """Patterns in their order, indexed by what stands between their dots.

    A component is a name or a `*` as a rule: these patterns are looked up, one look for each set of places that a `*`
    has. Only patterns with a `*` inside of a component are tried one by one.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        self._exact: dict[str, int] = {}
        self._by_parts: dict[tuple[str, ...], int] = {}
        self._masks: dict[int, dict[_Mask, None]] = {}
        self._odd: list[tuple[int, re.Pattern[str]]] = []
        for number, pattern in enumerate(patterns):
            self._exact.setdefault(pattern, number)
            if "*" in pattern:
                self._add(number, pattern)

    def exact(self, name: str) -> int | None:
        """The first pattern that is this very text."""
        return self._exact.get(name)

    def matching(self, name: str) -> list[int]:
        """The patterns that cover a name, each text once, in their order."""
        found = [number for number, regex in self._odd if regex.fullmatch(name)]
        if "*" not in name and (number := self._exact.get(name)) is not None:
            found.append(number)
        parts = tuple(name.split("."))
        for mask in self._masks.get(len(parts), ()):
            if all(parts[place].isdecimal() for place in mask):
                starred = tuple("*" if place in mask else part for place, part in enumerate(parts))
                if (number := self._by_parts.get(starred)) is not None:
                    found.append(number)
        return sorted(found)

    def _add(self, number: int, pattern: str) -> None:
        parts = tuple(pattern.split("."))
        if all(part == "*" or "*" not in part for part in parts):
            mask = tuple(place for place, part in enumerate(parts) if part == "*")
            self._masks.setdefault(len(parts), {})[mask] = None
            self._by_parts.setdefault(parts, number)
        else:
            self._odd.append((number, name_regex(pattern)))
