"""The judgement: does the best value stay, what does the narrow model's best cost the wide one, is wider better."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..thresholds import BY_HEART, WIDER_IS_WORSE
from .curves import Curves
from .knobs import KNOBS
from .optimum import Array, Optimum, find
from .ranges import shown

Status = Literal["pass", "fail", "undecided"]


@dataclass(frozen=True)
class Tolerance:
    """drift: factor by which optima may differ over widths; lost: share of its loss the narrow optimum may cost."""

    drift: float = 2.0
    lost: float = 0.01


@dataclass(frozen=True)
class SweepVerdict:
    """What a table of losses says about one hyperparameter of one variant.

    optima: by width, None where every run diverged. drift: between the farthest optima, in factors of two, with
    `drift_error`; it is `at_least` so much where an optimum lies at the edge of the values. lost: relative loss of the
    widest model at the narrowest one's best value against its own best; infinite where it diverges there, None unknown.
    """

    curves: Curves
    optima: tuple[Optimum | None, ...]
    drift: float
    drift_error: float
    at_least: bool
    lost: float | None
    wider: Status
    wider_detail: str
    status: Status
    reasons: tuple[str, ...]


def judge(curves: Curves, tolerance: Tolerance) -> SweepVerdict:
    """The verdict on one table."""
    optima = tuple(find(curves.axis, losses) for losses in curves.losses)
    drift, error, at_least = _drift(optima)
    lost = _lost(curves, optima)
    wider, detail = _wider(curves, optima)
    status, reasons = _status(curves, optima, drift, error, at_least, lost, tolerance)
    return SweepVerdict(curves, optima, drift, error, at_least, lost, wider, detail, status, reasons)


def _drift(optima: tuple[Optimum | None, ...]) -> tuple[float, float, bool]:
    there = [each for each in optima if each is not None]
    if len(there) < 2:
        return math.nan, math.nan, False
    low, high = min(there, key=lambda each: each.place), max(there, key=lambda each: each.place)
    at_least = any(each.edge for each in there)
    return high.place - low.place, math.hypot(low.error, high.error), at_least


def _lost(curves: Curves, optima: tuple[Optimum | None, ...]) -> float | None:
    """Both losses are of runs: nothing is interpolated."""
    narrow, wide = optima[0], optima[-1]
    if narrow is None or wide is None or len(optima) < 2:
        return None
    there = float(curves.means()[-1, narrow.index])
    if math.isnan(there):
        return None
    return math.inf if math.isinf(there) else max(0.0, there - wide.loss) / max(abs(wide.loss), 1e-12)


def _wider(curves: Curves, optima: tuple[Optimum | None, ...]) -> tuple[Status, str]:
    """At every value up to the narrowest model's best: no width may have a higher loss than the one before it."""
    first = optima[0]
    if first is None or len(optima) < 2:
        return "undecided", "too few runs"
    means, errors = curves.means(), _standard_errors(curves.losses)
    worst, where = 0.0, ""
    for place in range(1, len(curves.widths)):
        for index in range(first.index + 1):
            before, after = means[place - 1, index], means[place, index]
            if np.isnan(before) or np.isnan(after) or np.isinf(before):
                continue
            allowed = WIDER_IS_WORSE * abs(before) + 2 * math.hypot(errors[place - 1, index], errors[place, index])
            excess = (after - before - allowed) / abs(before) if np.isfinite(after) else math.inf
            if excess > worst:
                shown_after = "diverges" if np.isinf(after) else f"{after:.4g}"
                worst = excess
                where = (
                    f"at {curves.knob} {shown(curves.values[index])}, {curves.widths[place - 1]} → "
                    f"{curves.widths[place]}: {before:.4g} → {shown_after}"
                )
    return ("fail", where) if where else ("pass", f"at every {curves.knob} up to the best of {curves.widths[0]}")


def _standard_errors(losses: Array) -> Array:
    """[width, value]; zero for one seed."""
    if losses.shape[1] < 2:
        return np.zeros((losses.shape[0], losses.shape[2]))
    with np.errstate(invalid="ignore"):
        found: Array = np.nan_to_num(np.std(losses, axis=1, ddof=1), nan=0.0) / losses.shape[1] ** 0.5
    return found


def _status(
    curves: Curves,
    optima: tuple[Optimum | None, ...],
    drift: float,
    error: float,
    at_least: bool,
    lost: float | None,
    tolerance: Tolerance,
) -> tuple[Status, tuple[str, ...]]:
    least = min((each.loss for each in optima if each is not None), default=math.nan)
    if abs(least) < BY_HEART * abs(curves.start):
        why = f"the data is learned by heart (a loss of {least:.2g}, from {curves.start:.2g})"
        todo = "take fewer steps, or give batches(width, seed) that do not repeat"
        return "undecided", (f"{why}, and what is left of it compares nothing: {todo}",)
    allowed = math.log2(tolerance.drift)
    unknown = [str(width) for width, optimum in zip(curves.widths, optima, strict=True) if optimum is None]
    edges = [str(width) for width, optimum in zip(curves.widths, optima, strict=True) if optimum and optimum.edge]
    fails, doubts = [], []
    if drift - error > allowed:
        fails.append(f"the best {curves.knob} drifts by more than a factor of {tolerance.drift:g}")
    elif not drift <= allowed:
        doubts.append("the drift is not known" if math.isnan(drift) else "the drift is within its error: add seeds")
    if lost is not None and lost > tolerance.lost:
        fails.append(f"the best {curves.knob} of width {curves.widths[0]} costs width {curves.widths[-1]} too much")
    if lost is None:
        doubts.append("what the narrow optimum costs the wide model is not known")
    if unknown:
        doubts.append(f"no run at width {', '.join(unknown)} learned: lower the {curves.knob}")
    if at_least:
        doubts.append(f"the optimum at width {', '.join(edges)} is at the edge of the values: widen the range")
    status: Status = "fail" if fails else "undecided" if doubts else "pass"
    return status, tuple(fails + doubts)


def at(curves: Curves, optimum: Optimum) -> float:
    """The fitted best value."""
    return KNOBS[curves.knob].value(optimum.place)
