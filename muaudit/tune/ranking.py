"""Which sample is best: those of one seed choose finalists, other seeds choose among these. Free of torch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..sweep.optimum import Array, typical
from ..sweep.paired import Interval, difference
from ..sweep.trainings import Training, TrainingOutcome, variant_name
from ..thresholds import TAIL
from .sample import Sample

SHORT, LONG = "short", "long"
"""What the two horizons are called in the results file."""


@dataclass(frozen=True)
class Finalist:
    """One of the samples that were best at first. losses: by seed, infinite where it diverged; loss: their mean;
    above: how far it lies above the best one, as a share; long: the same at the longer horizon, None without."""

    sample: Sample
    losses: tuple[float, ...]
    loss: float
    above: Interval
    long: float | None = None
    long_above: Interval | None = None

    @property
    def tied(self) -> bool:
        """Whether seeds cannot tell it from the best one."""
        return self.above.low <= 0


@dataclass(frozen=True)
class Ranking:
    """All samples with the loss of the first seed (infinite: diverged), and the finalists, best first."""

    samples: tuple[tuple[Sample, float], ...]
    finalists: tuple[Finalist, ...]

    @property
    def best_of_long(self) -> Finalist | None:
        """The one that is best at the longer horizon."""
        there = [each for each in self.finalists if each.long is not None and math.isfinite(each.long)]
        return min(there, key=lambda each: each.long or 0.0, default=None)

    @property
    def by_schedule(self) -> list[tuple[str, float]]:
        """Each schedule with the lowest loss of its samples, the lowest first; empty where none were searched."""
        found: dict[str, float] = {}
        for sample, loss in self.samples:
            if sample.schedule:
                found[sample.schedule] = min(loss, found.get(sample.schedule, math.inf))
        return sorted(found.items(), key=lambda each: each[1])


def job(variant: str, width: int, seed: int, sample: Sample) -> Training:
    """One run of a sample, of the variant with its schedule. variant: of the two horizons."""
    return Training(variant_name(variant, sample.schedule), width, seed, sample.values)


def first_losses(
    done: Mapping[str, TrainingOutcome], width: int, seed: int, samples: Sequence[Sample]
) -> list[tuple[Sample, float]]:
    """Each sample that was run with its loss, in the order of the samples."""
    found = []
    for sample in samples:
        outcome = done.get(job(SHORT, width, seed, sample).key)
        if outcome is not None:
            found.append((sample, math.inf if outcome.loss is None else outcome.loss))
    return found


def finalists_of(first: Sequence[tuple[Sample, float]], count: int) -> list[Sample]:
    """The best samples of the first seed, of those that learned."""
    learned = [(sample, loss) for sample, loss in first if math.isfinite(loss)]
    return [sample for sample, _ in sorted(learned, key=lambda each: each[1])[:count]]


def rank(
    done: Mapping[str, TrainingOutcome],
    width: int,
    seeds: range,
    samples: Sequence[Sample],
    chosen: Sequence[Sample],
    first: int,
) -> Ranking:
    """The finalists by seeds that had no part in choosing them. seeds: those; first: the seed that chose."""
    short = _table(done, SHORT, width, seeds, chosen)
    long = _table(done, LONG, width, seeds, chosen)
    means, long_means = typical(short), typical(long)
    above, long_above = _above(short, means), _above(long, long_means)
    found = [
        Finalist(
            sample, tuple(map(float, short[:, k])), float(means[k]), above[k],
            None if np.isnan(long_means[k]) else float(long_means[k]), long_above[k],
        )
        for k, sample in enumerate(chosen)
        if not np.isnan(means[k])
    ]  # fmt: skip
    ordered = sorted(found, key=lambda each: each.loss)
    return Ranking(tuple(first_losses(done, width, first, samples)), tuple(ordered))


def _table(
    done: Mapping[str, TrainingOutcome], variant: str, width: int, seeds: range, chosen: Sequence[Sample]
) -> Array:
    """Losses [seed, sample]; a diverged run counts as the loss before training, NaN where it was not run."""
    found = np.full((len(seeds), len(chosen)), np.nan)
    for j, seed in enumerate(seeds):
        for k, sample in enumerate(chosen):
            outcome = done.get(job(variant, width, seed, sample).key)
            if outcome is not None:
                diverged = math.inf if outcome.first is None else outcome.first
                found[j, k] = diverged if outcome.loss is None else outcome.loss
    return found


def _above(losses: Array, means: Array) -> list[Interval]:
    """How far each sample lies above the best one, seed by seed."""
    if not np.isfinite(means).any():
        return [Interval(math.nan, -math.inf, math.inf)] * losses.shape[1]
    best = int(np.argmin(np.where(np.isfinite(means), means, np.inf)))
    scale = max(abs(float(means[best])), 1e-12)
    found = []
    for k in range(losses.shape[1]):
        if not np.isfinite(means[k]):
            found.append(Interval(math.inf, math.inf if np.isinf(means[k]) else -math.inf, math.inf))
            continue
        each = difference(k, losses[:, k], losses[:, best], scale, math.inf)
        low, high = (-math.inf, math.inf) if each is None else (each.low(TAIL), each.high(TAIL))
        found.append(Interval(float(means[k] - means[best]) / scale, low, high))
    return found
