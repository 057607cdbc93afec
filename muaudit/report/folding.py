"""One cause is told once: findings, and what was not analysed, that differ in nothing but the tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from muaudit.findings.model import Unanalysed, Violation
from muaudit.locations import location

FEW = 3
"""Alike ones from which on they are folded; two are no trouble to read."""
_SHOWN = 4


def folded(violations: Sequence[Violation], everything: bool) -> list[tuple[Violation, tuple[Violation, ...]]]:
    """Every finding that is told, with those that are told by it. everything: none are.

    Initializations and learning rates come out of one rule of the user's for many tensors. A multiplier is an
    expression of its own at every place, as is a finding that has an edit.
    """
    if everything:
        return [(each, ()) for each in violations]
    alike: dict[tuple[Any, ...], list[Violation]] = {}
    for each in violations:
        alike.setdefault(_cause(each), []).append(each)
    groups = {id(each): group for group in alike.values() if len(group) >= FEW for each in group}
    told = [each for each in violations if groups.get(id(each), [each])[0] is each]
    return [(each, tuple(groups.get(id(each), ())[1:])) for each in told]


def others(more: Sequence[Violation]) -> str:
    """Where else the same is found: `8 more: blocks.*.bias at net.py:12, ...; --tensors lists all`."""
    shown = [f"{each.pattern or each.module or ', '.join(each.tensors[:1])}{_at(each)}" for each in more[:_SHOWN]]
    rest = f" and {len(more) - _SHOWN} others" if len(more) > _SHOWN else ""
    return f"{len(more)} more: {', '.join(shown)}{rest}; --tensors lists them all"


def folded_unanalysed(items: Sequence[Unanalysed], everything: bool) -> list[Unanalysed]:
    """What was not analysed, of one reason in one row: `a.weight, b.weight and 19 others`."""
    alike: dict[tuple[str, str], list[Unanalysed]] = {}
    for item in items:
        alike.setdefault((item.rule, item.reason), []).append(item)
    rows: list[Unanalysed] = []
    for group in alike.values():
        if everything or len(group) < FEW:
            rows += group
            continue
        names = ", ".join(each.name for each in group[:_SHOWN])
        rest = f" and {len(group) - _SHOWN} others" if len(group) > _SHOWN else ""
        rows.append(Unanalysed(f"{names}{rest}", group[0].file, group[0].line, group[0].reason, group[0].rule))
    return rows


def _cause(violation: Violation) -> tuple[Any, ...]:
    if violation.rule[:4] not in ("MUP1", "MUP3") or violation.source_fix is not None:
        return (id(violation),)
    v = violation
    return v.rule, v.severity, v.found, v.expected, v.consequence, v.fix


def _at(violation: Violation) -> str:
    where = location(violation.file, violation.line)
    return f" at {where}" if where else ""
