"""Anchors that nobody could tell apart: a model of two hundred equal blocks is searched like one of a few.

Anchors have one colour where the uses that depend on them are of one kind with like exponents, and so have the anchors
that those depend on, and so on for some rounds (colour refinement, as in tests for the isomorphism of graphs).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

from ..program.expression import Expr


def colours(
    exprs: Sequence[Expr], groups: Sequence[Sequence[int]], kinds: Sequence[Hashable], rounds: int
) -> dict[int, int]:
    """A colour for every anchor.

    exprs: the exponent of every use, of the anchors. groups: the numbers of the uses of every owner. kinds: what tells
    one group from another, besides the exponents. rounds: how far apart two anchors may be to matter to each other.
    """
    numbers: dict[Hashable, int] = {}
    group_colours = [_number(numbers, kind) for kind in kinds]
    found = {anchor: 0 for expr in exprs for anchor in expr.terms}
    for _ in range(rounds):
        seen: dict[int, list[tuple[int, int, float]]] = {anchor: [] for anchor in found}
        for colour, group in zip(group_colours, groups, strict=True):
            for place, index in enumerate(group):
                for anchor, coefficient in exprs[index].terms.items():
                    seen[anchor].append((colour, place, round(coefficient, 6)))
        found = {anchor: _number(numbers, (found[anchor], *sorted(seen[anchor]))) for anchor in found}
        group_colours = [
            _number(numbers, (colour, *(_of_use(exprs[index], found) for index in group)))
            for colour, group in zip(group_colours, groups, strict=True)
        ]
    return found


def _of_use(expr: Expr, found: Mapping[int, int]) -> Hashable:
    terms = sorted((found[anchor], round(coefficient, 6)) for anchor, coefficient in expr.terms.items())
    return round(expr.const, 6), *terms


def _number(numbers: dict[Hashable, int], thing: Hashable) -> int:
    return numbers.setdefault(thing, len(numbers))
