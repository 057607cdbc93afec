"""Where losses have their minimum: a parabola through the points near it, and how sure that is. Free of torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from ..thresholds import ALIKE_LOSSES, FEWEST_SEEDS, NEAR
from ..training.fit import student

Array = npt.NDArray[np.float64]

Edge = Literal["", "low", "high"]


@dataclass(frozen=True)
class Optimum:
    """The best place on an axis of factors of two.

    place: fitted, `error` being half of its 95 % interval over three seeds or more. Fewer cannot tell losses within 1 %
    apart: for them, half the extent of the values that are so near the best one, and at least half the distance between
    values.
    index: the best value that was run; loss: there, the mean over seeds. edge: at which end of the values it lies, if
    at one, so that the true optimum may lie beyond.
    """

    place: float
    error: float
    index: int
    loss: float
    edge: Edge = ""


def find(axis: Sequence[float], losses: Array) -> Optimum | None:
    """The optimum of `losses` [seed, value] at the ascending places `axis`; None where every run diverged.

    Diverged runs are infinite, missing ones NaN. A value that is infinite for one seed counts as
    diverged; `Curves.counted` says what it counts as where other seeds learned.
    """
    x = np.asarray(axis, dtype=np.float64)
    mean = typical(losses)
    usable = np.isfinite(mean) & np.isfinite(x)
    if not usable.any():
        return None
    index = int(np.argmin(np.where(usable, mean, np.inf)))
    place = _vertex(x, mean, index)
    tried = np.flatnonzero(~np.isnan(mean) & np.isfinite(x))
    edge: Edge = "" if len(tried) < 2 else "low" if index == tried[0] else "high" if index == tried[-1] else ""
    return Optimum(place, _error(x, losses, index), index, float(mean[index]), edge)


def typical(losses: Array) -> Array:
    """The mean over seeds [value]: infinite where one diverged, NaN where none was run.

    Where some values have more seeds than others, it is the mean that all seeds would give, each being as much above
    the others as it is at the values that it has.
    """
    if not losses.size:
        return np.full(losses.shape[-1], np.nan)
    there = ~np.isnan(losses)
    total = np.where(there, losses, 0.0).sum(axis=0)
    count = there.sum(axis=0)
    found: Array = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    finite = np.isfinite(found)
    if finite.any() and (there[:, finite] != there[:, finite][:, :1]).any():
        found[finite] = _as_all_seeds(losses[:, finite])
    return found


def _as_all_seeds(losses: Array) -> Array:
    """The effects of values in `seed + value`, fitted to what is there [seed, value]."""
    seeds, values = losses.shape
    rows, columns = np.nonzero(~np.isnan(losses))
    design = np.zeros((len(rows) + 1, seeds + values))
    design[np.arange(len(rows)), rows] = 1.0
    design[np.arange(len(rows)), seeds + columns] = 1.0
    design[-1, np.unique(rows)] = 1.0  # the seeds' own effects cancel
    effects = np.linalg.lstsq(design, np.append(losses[rows, columns], 0.0), rcond=None)[0]
    found: Array = effects[seeds:]
    return found


def _vertex(x: Array, y: Array, index: int) -> float:
    """The lowest point of the parabola near the best value; the value itself where there is none."""
    near = [at for at in _connected(x, y, index) if abs(at - index) <= 1 or abs(x[at] - x[index]) <= NEAR]
    if len(near) < 3 or index in (near[0], near[-1]):
        return float(x[index])
    a, b, _ = np.polyfit(x[near] - x[index], y[near], 2)
    if a <= 0:
        return float(x[index])
    return float(np.clip(x[index] - b / (2 * a), x[index - 1], x[index + 1]))


def _connected(x: Array, y: Array, index: int) -> list[int]:
    """The finite points around one, up to the first that diverged on either side."""
    low = high = index
    while low > 0 and np.isfinite(y[low - 1]) and np.isfinite(x[low - 1]):
        low -= 1
    while high < len(y) - 1 and np.isfinite(y[high + 1]):
        high += 1
    return list(range(low, high + 1))


def _alike(x: Array, y: Array, index: int) -> Array:
    """The places whose loss one seed cannot tell from the best one."""
    with np.errstate(invalid="ignore"):
        found: Array = x[np.isfinite(x) & (y <= y[index] + ALIKE_LOSSES * abs(y[index]))]
    return found


def _error(x: Array, losses: Array, index: int) -> float:
    finite = x[np.isfinite(x)]
    spacing = float(np.diff(finite).min()) if len(finite) > 1 else 1.0
    most = (~np.isnan(losses)).sum(axis=1).max(initial=0)
    places = [
        _vertex(x, row, int(np.argmin(np.where(np.isfinite(row), row, np.inf))))
        for row in losses
        if np.isfinite(row).any() and (~np.isnan(row)).sum() == most  # those with all values
    ]
    if len(places) < FEWEST_SEEDS:
        alike = _alike(x, typical(losses), index)
        return float(max(spacing, alike.max() - alike.min())) / 2
    spread = float(np.std(places, ddof=1)) / len(places) ** 0.5 * student(len(places) - 1)
    return float(max(spread, spacing / 10))
