"""What the small model's best value costs the large one: the question that a sweep is made for. Free of torch.

Every value of the narrowest width that cannot be told from its best one is a possible best. What one of them costs is
its loss at the widest width above that of the best value there: at least what it is surely above that, at most what it
may be above any. A verdict has to hold for all possible bests, so each error is rarer than its level, and there is room
for looking again with more seeds: benchmarks/sweep_verdicts.py counts the verdicts that are wrong.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..thresholds import ALIKE_LOSSES, FEWEST_SEEDS, LIMIT_OF_LOSSES, MOST_SEEDS, TAIL
from .curves import Curves
from .optimum import Array, typical
from .paired import Difference, Interval, difference

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Comparisons:
    """All that a verdict on the cost is made from.

    best: the index of the narrowest width's best value. narrow: how far every other one lies above it there. wide:
    index → how far that value lies above every other one at the widest width; None where all its runs diverged.
    tied: those of `narrow` that may be the best instead, where seeds can tell nothing yet.
    """

    best: int
    narrow: tuple[Difference, ...]
    wide: Mapping[int, tuple[Difference, ...] | None]
    seeds: int

    def ties(self, count: int | None = None, widened: float = 1.0) -> tuple[int, ...]:
        """The indices that may be the narrowest width's best, with `count` seeds and spreads so much wider."""
        few = (count or self.seeds) < FEWEST_SEEDS
        others = (
            each.place
            for each in self.narrow
            if (each.value <= ALIKE_LOSSES if few else each.low(TAIL, count, widened) <= 0)
        )
        return tuple(sorted({self.best, *others}))

    def cost(self, count: int | None = None, widened: float = 1.0) -> Interval | None:
        """As a share of the best loss of the widest width, whichever of the ties is meant; None where not known."""
        found = {place: self._of(place, count, widened) for place in self.ties(count, widened)}
        there = [each for each in found.values() if each is not None]
        own = found[self.best]
        if own is None or len(there) < len(found):
            return None
        return Interval(own.value, min(each.low for each in there), max(each.high for each in there))

    def _of(self, place: int, count: int | None, widened: float) -> Interval | None:
        if place not in self.wide:
            return None
        others = self.wide[place]
        if others is None:
            return Interval(math.inf, math.inf if self.seeds >= FEWEST_SEEDS else 0.0, math.inf)
        low = max(others, key=lambda each: each.value).low(TAIL, count, widened) if others else 0.0
        high = max((each.high(TAIL, count, widened) for each in others), default=0.0)
        return Interval(max((0.0, *(each.value for each in others))), max(0.0, low), max(0.0, high))

    def undecided(self, lost: float) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """(indices at the narrowest width, indices at the widest one) whose further seeds would tell."""
        ties = self.ties()
        wide = set(ties)
        for place in ties:
            others = self.wide.get(place) or ()
            wide |= {each.place for each in others if each.high(TAIL) > lost}
            wide |= {max(others, key=lambda each: each.value).place} if others else set()
        return ties, tuple(sorted(wide))

    def more(self, lost: float) -> int | None:
        """How many more seeds will most likely decide; None where more than `MOST_SEEDS` in all would not."""
        if self.seeds < FEWEST_SEEDS:
            return FEWEST_SEEDS - self.seeds
        widened = _doubt(self.seeds)
        for count in range(self.seeds + 1, MOST_SEEDS + 1):
            cost = self.cost(count, widened)
            if cost is not None and (cost.low > lost or cost.high < lost):
                return count - self.seeds
        return None


def failed(curves: Curves) -> Flags:
    """Which values [width, value] failed for a seed: diverged, or learned less than half of what the best one did."""
    found: Flags = np.asarray(curves.diverged() > 0)
    if not math.isfinite(curves.start):
        return found
    counted, means = curves.counted(), curves.means()
    for place, width_means in enumerate(means):
        if np.isfinite(width_means).any():
            best = float(width_means[np.isfinite(width_means)].min())
            with np.errstate(invalid="ignore"):
                found[place] |= (counted[place] > (best + curves.start) / 2).any(axis=0)
    return found


def narrow_ties(curves: Curves, lost: float) -> tuple[int, ...]:
    """The indices that may be the narrowest width's best, whatever is known of wider ones."""
    narrow = curves.counted()[0]
    means = typical(narrow)
    if not np.isfinite(means).any():
        return ()
    best = int(np.argmin(np.where(np.isfinite(means), means, np.inf)))
    ours = _against(narrow, best, _limit(lost), failed(curves)[0])
    return Comparisons(best, ours, {}, _count(narrow[:, best])).ties()


def compare(curves: Curves, lost: float) -> Comparisons | None:
    """The comparisons of one table; None where nothing was learned at one of its ends, or there is one width."""
    counted = curves.counted()
    narrow, wide = counted[0], counted[-1]
    means, wide_means = typical(narrow), typical(wide)
    if len(curves.widths) < 2 or not np.isfinite(means).any() or not np.isfinite(wide_means).any():
        return None
    best = int(np.argmin(np.where(np.isfinite(means), means, np.inf)))
    limit = _limit(lost)
    unsafe = failed(curves)
    ours = _against(narrow, best, limit, unsafe[0])
    places = [at for at in range(len(curves.values)) if not np.isnan(wide[:, at]).all()]
    theirs = {at: None if np.isinf(wide_means[at]) else _above_others(wide, at, limit, unsafe[-1]) for at in places}
    seeds = min(_count(narrow[:, best]), _count(wide[:, best]) or _count(narrow[:, best]))
    return Comparisons(best, ours, theirs, seeds)


def _count(losses: Array) -> int:
    return int((~np.isnan(losses)).sum())


def _against(losses: Array, best: int, limit: float, unsafe: Flags) -> tuple[Difference, ...]:
    """All other values above the best one [seed, value]; what failed for a seed is no rival of it."""
    scale = _scale(losses)
    found = [
        difference(at, losses[:, at], losses[:, best], scale, limit)
        for at in range(losses.shape[1])
        if at != best and not unsafe[at]
    ]
    return tuple(each for each in found if each is not None)


def _above_others(losses: Array, place: int, limit: float, unsafe: Flags) -> tuple[Difference, ...]:
    """One value above all others; what failed for a seed and is worse on the whole is no rival."""
    scale = _scale(losses)
    found = [
        difference(at, losses[:, place], losses[:, at], scale, limit)
        for at in range(losses.shape[1])
        if at != place and not np.isinf(losses[:, at]).any()
    ]
    return tuple(each for each in found if each is not None and (not unsafe[each.place] or each.value > 0))


def _limit(lost: float) -> float:
    return LIMIT_OF_LOSSES * max(lost, 1e-3)


def _scale(losses: Array) -> float:
    """The lowest mean loss, which shares are of."""
    means = typical(losses)
    return max(abs(float(means[np.isfinite(means)].min())), 1e-12)


def _doubt(seeds: int) -> float:
    """By which factor a spread estimated from so few seeds may be too small, one time in twelve.

    That part of χ² with f degrees of freedom, by Wilson and Hilferty's cube (1931, doi 10.1073/pnas.17.12.684).
    """
    f = seeds - 1
    share = (1 - 2 / (9 * f) - 1.4 * math.sqrt(2 / (9 * f))) ** 3
    return math.sqrt(1 / max(share, 0.05))
