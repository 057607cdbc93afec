"""Entries of repeated blocks as one, under patterns of their names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from itertools import combinations

from ..findings.names import pattern_of
from ..plan.scales import Entry


def folded(entries: Sequence[Entry]) -> list[Entry]:
    """Repeated blocks as one entry; blocks that differ from most of their kind keep their own names."""
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(pattern_of(entry.pattern), []).append(entry)
    return [entry for members in groups.values() for entry in _folded(members)]


def _folded(members: Sequence[Entry]) -> list[Entry]:
    """Under whichever numbers are kept that takes the fewest entries: `h.*.mlp.2.weight` where `mlp.0` is another."""
    first = members[0].pattern.split(".")
    places = [at for at, part in enumerate(first) if part.isdigit()]
    ways = [kept for count in range(max(1, len(places))) for kept in combinations(reversed(places), count)]
    found = [_under(members, kept) for kept in ways]
    fewest = min(range(len(found)), key=lambda way: (len(found[way]), _alone(found[way])))
    return found[fewest]


def _under(members: Sequence[Entry], kept: Collection[int]) -> list[Entry]:
    groups: dict[str, list[Entry]] = {}
    for entry in members:
        groups.setdefault(_pattern(entry.pattern, kept), []).append(entry)
    return [entry for pattern, alike in groups.items() for entry in _common(pattern, alike)]


def _common(pattern: str, members: Sequence[Entry]) -> Iterator[Entry]:
    common = Counter(replace(e, pattern=pattern) for e in members).most_common(1)[0][0]
    folds = pattern != members[0].pattern
    yield from [common] if folds else []
    yield from (e for e in members if not folds or replace(e, pattern=pattern) != common)


def _pattern(name: str, kept: Collection[int]) -> str:
    """A name with `*` for its numbers, but for those at these places."""
    return ".".join("*" if part.isdigit() and at not in kept else part for at, part in enumerate(name.split(".")))


def _alone(entries: Sequence[Entry]) -> int:
    return sum("*" not in entry.pattern for entry in entries)
