"""Schedules as curves: the learning rates of every group as shares of the largest that it gets, step by step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..findings.discrepancy import Discrepancy
from ..findings.names import fold
from ..targets.schedulers import Walk
from ..thresholds import SHAPES_APART

Curves = Mapping[int, Mapping[int, float]]  # by group and step


def other_shapes(walk: Walk, owners: Sequence[Mapping[str, int]]) -> list[Discrepancy]:
    """At most one discrepancy: the parameters whose groups follow another curve than most. owners: groups by name, at
    both probes.

    Of groups that the schedule moves and others that it never moves, the latter are told, however many they are.
    """
    return next(filter(None, (_others(walk, each, probe) for probe, each in enumerate(owners))), [])


def _others(walk: Walk, owners: Mapping[str, int], probe: int) -> list[Discrepancy]:
    members: dict[int, list[str]] = {}
    for name, group in owners.items():
        members.setdefault(group, []).append(name)
    curves = _curves(walk, members, probe)
    if len(curves) < 2:
        return []
    still = [group for group, curve in curves.items() if max(curve.values()) - min(curve.values()) <= SHAPES_APART]
    moving = [group for group in curves if group not in still]
    if not moving:
        return []
    usual = max(moving, key=lambda group: len(members[group]))
    others = still or [group for group in moving if _apart(curves[group], curves[usual])[0] > SHAPES_APART]
    if not others:
        return []
    worst = max(others, key=lambda group: _apart(curves[group], curves[usual])[0])
    step = _apart(curves[worst], curves[usual])[1]
    names = [name for group in others for name in members[group]]
    values = float(step), round(curves[worst][step], 3), round(curves[usual][step], 3)
    return [
        Discrepancy("schedule_shape", None, tuple(names), fold(names) if len(names) < 2 else "", 0.0, 0.0, walk.file,
                    walk.line, optimizer=walk.name, detail="still" if still else "differs", values=values)
    ]  # fmt: skip


def _curves(walk: Walk, members: Mapping[int, object], probe: int) -> dict[int, dict[int, float]]:
    found: dict[int, dict[int, float]] = {}
    for group in members:
        rates = {step: rows[probe][group] for step, rows in walk.rates.items()}
        largest = max(rates.values(), default=0.0)
        if largest > 0:
            found[group] = {step: rate / largest for step, rate in rates.items()}
    return found


def _apart(one: Mapping[int, float], other: Mapping[int, float]) -> tuple[float, int]:
    """How far two curves are apart at most, and at which step."""
    distance, step = max((abs(share - other[step]), -step) for step, share in one.items())
    return distance, -step
