"""Verdicts of simulated sweeps, whose optima, noise and drift are known: how many are wrong, and are seeds enough?

    python benchmarks/sweep_verdicts.py --sweeps 1000
    python benchmarks/sweep_verdicts.py --sweeps 1000 --cost 0.0101   # all of them just beyond the tolerance, of 0.01

Each sweep has three widths and nine learning rates, factors of two apart. Losses are parabolas in log2 lr whose minima
drift over widths; every seed shifts the whole curve, moves its minimum, and adds noise of its own, which grows with the
learning rate; beyond some learning rate runs diverge, nearer to it more often. What the narrow optimum truly costs
follows from the means. A sweep begins with three seeds and takes as many more as it is told to, at most four times:
as `muaudit sweep --until-decided` does.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace

import numpy as np

from muaudit.sweep.curves import Curves
from muaudit.sweep.optimum import Array
from muaudit.sweep.sweep_verdict import SweepVerdict, Tolerance, judge
from muaudit.thresholds import FEWEST_SEEDS, LOOKS

WIDTHS, VALUES = (64, 256, 1024), 9
START, LOST = 4.0, 0.01


@dataclass(frozen=True)
class Truth:
    """A simulated model. places: of the minima, by width; depth: of the parabola; shift, wander, noise: what seeds do
    to the loss, to the place and to each run; cliff: by width, where half of the runs diverge."""

    places: tuple[float, ...]
    depth: float
    shift: float
    wander: float
    noise: float
    cliff: tuple[float, ...]

    def draw(self, rng: np.random.Generator, seeds: int) -> Array:
        """Losses [width, seed, value]."""
        x = np.arange(VALUES, dtype=np.float64)
        found = np.empty((len(WIDTHS), seeds, VALUES))
        for i, place in enumerate(self.places):
            for j in range(seeds):
                minimum = place + self.wander * rng.normal()
                mean = (2.0 - 0.1 * i) * (1 + self.depth * (x - minimum) ** 2)
                noise = self.noise * np.exp2((x - place) / 4) * rng.normal(size=VALUES)
                found[i, j] = mean * (1 + self.shift * rng.normal()) + 2 * noise
                found[i, j][rng.random(VALUES) < _odds(x - self.cliff[i])] = np.inf
        return found

    def cost(self) -> float:
        """What the value that is best at the narrowest width costs the widest, of the means."""
        x = np.arange(VALUES, dtype=np.float64)
        means = []
        for i in (0, -1):
            floor = 2.0 - 0.1 * (len(WIDTHS) - 1 if i else 0)
            learned = floor * (1 + self.depth * ((x - self.places[i]) ** 2 + self.wander**2))
            odds = _odds(x - self.cliff[i])
            means.append(np.where(odds > 0.95, np.inf, learned * (1 - odds) + START * odds))
        narrow, wide = means
        return float(wide[int(np.argmin(narrow))] / wide.min() - 1)


def _odds(beyond: Array) -> Array:
    """The share of runs that diverge so many factors of two beyond the cliff."""
    found: Array = np.where(beyond < -0.75, 0.0, 1 / (1 + np.exp2(-8 * beyond)))
    return found


def simulated(rng: np.random.Generator) -> Truth:
    """A model as they come: half of them without a drift."""
    drift = 0.0 if rng.random() < 0.5 else float(rng.uniform(-2, 2))
    first = float(rng.uniform(3, 5))
    places = tuple(first + drift * i / 2 for i in range(len(WIDTHS)))
    cliff = tuple(place + float(rng.uniform(1.5, 4)) for place in places)
    return Truth(
        places, float(2 ** rng.uniform(-8, -4)), float(rng.uniform(0, 0.03)), float(rng.uniform(0, 0.3)),
        float(2 ** rng.uniform(-11, -6)), cliff,
    )  # fmt: skip


def costing(rng: np.random.Generator, cost: float) -> Truth:
    """A model whose narrow optimum costs that share, to 0.1 % of it: one as they come, with another depth."""
    while True:
        truth = simulated(rng)
        low, high = 2.0**-12, 0.5
        for _ in range(40):
            truth = replace(truth, depth=(low * high) ** 0.5)
            low, high = (truth.depth, high) if truth.cost() < cost else (low, truth.depth)
        if abs(truth.cost() / cost - 1) < 1e-3:
            return truth


@dataclass(frozen=True)
class Ended:
    """How one sweep ended: the truth, the verdicts from first to last."""

    cost: float
    verdicts: tuple[SweepVerdict, ...]


def until_decided(truth: Truth, rng: np.random.Generator) -> Ended:
    """Three seeds, then those that are asked for."""
    losses = truth.draw(rng, FEWEST_SEEDS)
    verdicts = [_judged(losses)]
    while verdicts[-1].more and len(verdicts) < LOOKS:
        added = truth.draw(rng, verdicts[-1].more)
        narrow, wide = verdicts[-1].wanted
        kept = np.full_like(added, np.nan)
        kept[0][:, list(narrow)] = added[0][:, list(narrow)]
        kept[-1][:, list(wide)] = added[-1][:, list(wide)]
        losses = np.concatenate([losses, kept], axis=1)
        verdicts.append(_judged(losses))
    return Ended(truth.cost(), tuple(verdicts))


def _judged(losses: Array) -> SweepVerdict:
    values = tuple(2.0 ** (k - 12) for k in range(VALUES))
    return judge(Curves("original", "lr", WIDTHS, values, losses, start=START), Tolerance(lost=LOST))


def counted(sweeps: int, seed: int, cost: float | None = None) -> dict[str, float]:
    """How many of so many sweeps end how, and how often the seeds that were asked for were enough."""
    rng = np.random.default_rng(seed)
    truths = (simulated(rng) if cost is None else costing(rng, cost) for _ in range(sweeps))
    ended = [until_decided(truth, rng) for truth in truths]
    right = [each for each in ended if each.cost <= LOST]
    wrong = [each for each in ended if each.cost > LOST]
    asked = [each for each in ended if each.verdicts[0].more]
    return {
        "transfer": len(right), "do not": len(wrong),
        "false 'does not'": sum(each.verdicts[-1].status == "fail" for each in right) / max(1, len(right)),
        "false 'transfers'": sum(each.verdicts[-1].status == "pass" for each in wrong) / max(1, len(wrong)),
        "decided at once": sum(each.verdicts[0].status != "undecided" for each in ended) / sweeps,
        "decided": sum(each.verdicts[-1].status != "undecided" for each in ended) / sweeps,
        "asked for seeds": len(asked),
        "seeds were enough": sum(each.verdicts[1].status != "undecided" for each in asked) / max(1, len(asked)),
        "seeds asked for, median": float(np.median([each.verdicts[0].more or 0 for each in asked] or [0])),
        "no number given": sum(each.verdicts[0].more is None for each in ended) / sweeps,
        "edge": sum("edge" in " ".join(each.verdicts[0].reasons) for each in ended) / sweeps,
    }  # fmt: skip


def main() -> None:
    """Print the counts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--sweeps", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cost", type=float, help="the true cost of all of them")
    given = parser.parse_args()
    for name, value in counted(given.sweeps, given.seed, given.cost).items():
        print(f"{name:24} {value:.4g}")


if __name__ == "__main__":
    main()
