"""What is to be run, and what came out. Free of torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .knobs import KNOBS


@dataclass(frozen=True)
class Training:
    """One training run. `values`: hyperparameter → value, the learning rate always among them."""

    variant: str
    width: int
    seed: int
    values: tuple[tuple[str, float], ...]

    @property
    def hp(self) -> dict[str, float]:
        """The hyperparameters by name."""
        return dict(self.values)

    @property
    def key(self) -> str:
        """The same for the same run in every process."""
        return json.dumps([self.variant, self.width, self.seed, sorted(self.values)])


def variant_name(name: str, schedule: str) -> str:
    """What a variant is called in the results file; schedule: empty where several are not compared."""
    return f"{name} {schedule}" if schedule else name


@dataclass(frozen=True)
class TrainingOutcome:
    """What a run came to. loss: of data held out, else the mean over the last steps, None for a run that diverged;
    first: before training.

    steps: updates taken, fewer than asked for where a diverged run was stopped. curve: the means of equal parts of the
    run, as far as it was finite; empty where they are not known.
    """

    job: Training
    loss: float | None
    first: float | None
    steps: int
    curve: tuple[float, ...] = ()


@dataclass(frozen=True)
class Unit:
    """Runs that are trained together: one variant, width and seed, all hyperparameters in `jobs`."""

    jobs: tuple[Training, ...]

    @property
    def name(self) -> str:
        """Short, and the same in every process."""
        return hashlib.sha256("\n".join(job.key for job in self.jobs).encode()).hexdigest()[:12]


@dataclass(frozen=True)
class TrainingSettings:
    """How every run is trained. tail: the share of the last steps that the loss is averaged over.

    held_out: whether data that are not trained on tell how good a run is, where there are some. clip: the largest norm
    of a gradient, None for any.
    """

    steps: int = 300
    batch_size: int = 16
    data: str | None = None
    schedule: str = "constant"
    warmup: int = 0
    dtype: str = "fp32"
    device: str = "cpu"
    tail: float = 0.1
    held_out: bool = True
    clip: float | None = None


@dataclass(frozen=True)
class Grid:
    """All runs: learning rates first, then each further hyperparameter at the best learning rate of the narrowest.

    beyond: how many learning rates may follow beyond either end, while the best one is there. along: what `widths` are,
    "width" or "depth".
    """

    variants: tuple[str, ...]
    widths: tuple[int, ...]
    lrs: tuple[float, ...]
    seeds: int = 1
    seed: int = 0
    hps: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    beyond: int = 0
    along: str = "width"

    @property
    def reach(self) -> tuple[float, ...]:
        """The learning rates with those beyond either end, by the ratio of the last two there, ascending."""
        if len(self.lrs) < 2:
            return self.lrs
        down, up = self.lrs[0] / self.lrs[1], self.lrs[-1] / self.lrs[-2]
        low = [self.lrs[0] * down**k for k in range(self.beyond, 0, -1)]
        return (*low, *self.lrs, *(self.lrs[-1] * up**k for k in range(1, self.beyond + 1)))

    def lr_jobs(self) -> list[Training]:
        """The first part, narrow widths first."""
        return self._jobs(self.lrs)

    def reachable_jobs(self) -> list[Training]:
        """The first part with the learning rates beyond its ends."""
        return self._jobs(self.reach)

    def _jobs(self, lrs: Sequence[float]) -> list[Training]:
        return [
            Training(variant, width, self.seed + seed, (("lr", lr),))
            for width in self.widths
            for variant in self.variants
            for seed in range(self.seeds)
            for lr in lrs
        ]

    def hp_jobs(self, name: str, best: Mapping[str, float]) -> list[Training]:
        """The part of one further hyperparameter; best: variant → learning rate."""
        return [
            Training(variant, width, self.seed + seed, (("lr", best[variant]), (name, value)))
            for width in self.widths
            for variant in self.variants
            if variant in best
            for seed in range(self.seeds)
            for value in self.hps[name]
        ]

    @property
    def count(self) -> int:
        """How many runs there are."""
        values = len(self.lrs) + sum(len(values) for values in self.hps.values())
        return len(self.variants) * len(self.widths) * self.seeds * values


def units(jobs: Sequence[Training], together: int | Mapping[int, int]) -> list[Unit]:
    """The jobs in their order, at most `together` (or by width) to a unit; a unit shares variant, width and seed.

    Forward multipliers are Python numbers, so runs of different ones never share a unit.
    """
    found: list[list[Training]] = []
    for job in jobs:
        most = together if isinstance(together, int) else together.get(job.width, 1)
        last = found[-1] if found else []
        if last and len(last) < most and _alike(last[0], job):
            last.append(job)
        else:
            found.append([job])
    return [Unit(tuple(each)) for each in found]


def _alike(a: Training, b: Training) -> bool:
    def fixed(job: Training) -> list[Any]:
        forward = [(name, value) for name, value in job.values if KNOBS[name].where == "forward"]
        return [job.variant, job.width, job.seed, forward, [name for name, _ in job.values]]

    return fixed(a) == fixed(b)
