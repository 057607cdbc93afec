"""The judgement: what does the narrow model's best value cost the wide one, does it stay, is wider better."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..thresholds import BY_HEART, FEWEST_SEEDS, MOST_SEEDS, TAIL, WIDER_IS_WORSE
from .curves import Curves
from .knobs import KNOBS
from .optimum import Array, Optimum, find
from .over import OVER
from .paired import Interval, difference
from .ranges import shown
from .transfer_cost import Comparisons, compare

Status = Literal["pass", "fail", "undecided"]


LOST = 0.01
"""The share of its loss that the narrow optimum may cost, unless another is asked for."""


@dataclass(frozen=True)
class Tolerance:
    """lost: share of its loss the narrow optimum may cost; drift: factor by which optima may differ unremarked."""

    drift: float = 2.0
    lost: float = LOST


@dataclass(frozen=True)
class SweepVerdict:
    """What a table of losses says about one hyperparameter of one variant.

    optima: by width, None where every run diverged. drift: between the farthest optima, in factors of two, with
    `drift_error`; it is `at_least` so much where an optimum lies at the edge of the values. lost: relative loss of the
    widest model at the narrowest one's best value against its own best; infinite where it diverges there, None unknown.
    ties: the indices that may be that best value. seeds: that both ends have; more: how many further ones will most
    likely decide, None where none will, 0 where it is decided or seeds would not help. wanted: the indices at the
    narrowest and at the widest width that they are wanted for. remarks: beside the verdict.
    """

    curves: Curves
    optima: tuple[Optimum | None, ...]
    drift: float
    drift_error: float
    at_least: bool
    lost: Interval | None
    ties: tuple[int, ...]
    seeds: int
    wider: Status
    wider_detail: str
    status: Status
    reasons: tuple[str, ...]
    more: int | None = 0
    wanted: tuple[tuple[int, ...], tuple[int, ...]] = ((), ())
    remarks: tuple[str, ...] = ()


def judge(curves: Curves, tolerance: Tolerance) -> SweepVerdict:
    """The verdict on one table."""
    optima = tuple(find(curves.axis, losses) for losses in curves.counted())
    compared = compare(curves, tolerance.lost)
    lost = compared.cost() if compared is not None else None
    drift, error, at_least = _drift(optima)
    fails = _fails(curves, optima, lost, tolerance)
    doubts = _doubts(curves, optima, lost)
    status: Status = "undecided"
    more: int | None = 0
    reasons: tuple[str, ...]
    if by_heart := _by_heart(curves, optima):
        reasons = (by_heart,)
    elif fails:
        status, reasons = "fail", tuple(fails + doubts)
    elif doubts or compared is None or lost is None:
        reasons = tuple(doubts)
    elif lost.high < tolerance.lost:
        status, reasons = "pass", ()
    else:
        more = compared.more(tolerance.lost)
        reasons = tuple(_undecided(curves, compared, more))
    wider, detail = _wider(curves, compared)
    drifts = drift - error > math.log2(tolerance.drift) and status != "fail"
    remark = (f"the best {curves.knob} drifts by more than a factor of {tolerance.drift:g} all the same: what it costs "
              f"will grow with {curves.along}",) if drifts else ()  # fmt: skip
    return SweepVerdict(
        curves, optima, drift, error, at_least, lost, compared.ties() if compared else (),
        compared.seeds if compared else 0, wider, detail, status, reasons, more,
        compared.undecided(tolerance.lost) if compared and more != 0 else ((), ()), remark,
    )  # fmt: skip


def at(curves: Curves, optimum: Optimum) -> float:
    """The fitted best value."""
    return KNOBS[curves.knob].value(optimum.place)


def _drift(optima: tuple[Optimum | None, ...]) -> tuple[float, float, bool]:
    there = [each for each in optima if each is not None]
    if len(there) < 2:
        return math.nan, math.nan, False
    low, high = min(there, key=lambda each: each.place), max(there, key=lambda each: each.place)
    at_least = any(each.edge for each in there)
    return high.place - low.place, math.hypot(low.error, high.error), at_least


def _by_heart(curves: Curves, optima: tuple[Optimum | None, ...]) -> str:
    least = min((each.loss for each in optima if each is not None), default=math.nan)
    if not abs(least) < BY_HEART * abs(curves.start):
        return ""
    return (
        f"the data is learned by heart (a loss of {least:.2g}, from {curves.start:.2g}), and what is left of it "
        "compares nothing: take fewer steps, or give batches(width, seed) that do not repeat"
    )


def _fails(
    curves: Curves, optima: tuple[Optimum | None, ...], lost: Interval | None, tolerance: Tolerance
) -> list[str]:
    """Why it does not transfer. An optimum beyond the values would have to be sought first, but for a cost so clear."""
    if lost is None or not lost.low > tolerance.lost:
        return []
    what = "diverges at" if math.isinf(lost.low) else f"loses more than {100 * tolerance.lost:g} % at"
    found = [f"{curves.along} {curves.widths[-1]} {what} the best {curves.knob} of {curves.along} {curves.widths[0]}"]
    drift, error, _ = _drift(optima)
    if drift - error > math.log2(tolerance.drift):
        found.append(f"the best {curves.knob} drifts by more than a factor of {tolerance.drift:g}")
    return found


def _doubts(curves: Curves, optima: tuple[Optimum | None, ...], lost: Interval | None) -> list[str]:
    """What more seeds would not mend."""
    unknown = [str(width) for width, optimum in zip(curves.widths, optima, strict=True) if optimum is None]
    edges = [str(width) for width, optimum in zip(curves.widths, optima, strict=True) if optimum and optimum.edge]
    found = []
    small, large = OVER[curves.along].small, OVER[curves.along].large
    if len(curves.widths) < 2:
        found.append(f"there is one {curves.along}")
    elif lost is None:
        found.append(f"what the {small} optimum costs the {large} model is not known")
    if unknown:
        found.append(f"no run at {curves.along} {', '.join(unknown)} learned: lower the {curves.knob}")
    single = [str(width) for width, row in zip(curves.widths, curves.losses, strict=True) if _values_in(row) == 1]
    if single:
        found.append(f"one value alone was run at {curves.along} {', '.join(single)}: which is best there is not known")
    if edges:
        found.append(f"the optimum at {curves.along} {', '.join(edges)} is at the edge of the values: widen the range")
    return found


def _values_in(losses: Array) -> int:
    """How many values were run, of losses [seed, value]."""
    return int((~np.isnan(losses)).any(axis=0).sum())


def _undecided(curves: Curves, compared: Comparisons, more: int | None) -> list[str]:
    """What is missing, where seeds are."""
    if compared.seeds < FEWEST_SEEDS:
        return [f"{compared.seeds} seed{'s give' if compared.seeds > 1 else ' gives'} no interval"]
    found = []
    ties = compared.ties()
    if len(ties) > 1:
        names = ", ".join(shown(curves.values[place]) for place in ties)
        found.append(f"the optimum at {curves.along} {curves.widths[0]} is a tie: {names}")
    if more is None:
        found.append(f"{MOST_SEEDS} seeds would hardly decide: what it costs lies too near to what is allowed")
    return found or ["what it costs is allowed or not, within its error"]


def _wider(curves: Curves, compared: Comparisons | None) -> tuple[Status, str]:
    """At the narrowest model's best value no width may have a higher loss than a narrower one."""
    if compared is None:
        return "undecided", "too few runs"
    at_best = curves.counted()[:, :, compared.best]
    where = f"at {curves.knob} {shown(curves.values[compared.best])}"
    pairs = [(i, j) for j in range(len(curves.widths)) for i in range(j) if np.isfinite(at_best[i]).any()]
    status: Status = "pass"
    worst, detail = -math.inf, f"{where}, {'each' if len(pairs) > 1 else 'the'} pair of {curves.along}s"
    for i, j in pairs:
        between = f"{where}, {curves.widths[i]} → {curves.widths[j]}"
        if np.isinf(at_best[j]).any():
            return "fail", f"{between}: diverges"
        scale = max(abs(float(np.nanmean(at_best[i]))), 1e-12)
        found = difference(0, at_best[j], at_best[i], scale, math.inf)
        if found is None:
            continue
        low, high = found.low(TAIL / len(pairs)), found.high(TAIL)
        each: Status = "fail" if low > WIDER_IS_WORSE else "pass" if high < WIDER_IS_WORSE else "undecided"
        rank = (each == "fail", each == "undecided", found.value)
        if each != "pass" and rank > (status == "fail", status == "undecided", worst):
            status, worst = each, found.value
            error = "" if math.isinf(high) else f" ± {(high - found.value) * scale:.2g}"
            detail = f"{between}: {np.nanmean(at_best[i]):.4g} → {np.nanmean(at_best[j]):.4g}{error}"
    return status, detail
