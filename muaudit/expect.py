"""What a coordinate check of a target would measure at a width: the audit's exponents, with the sizes they start from.

    expected = expect(target)
    expected.slopes((1024, 2048))["layers.0.mlp"].init

Where several terms of different exponents compete, the slope at a given width lies between them; `muaudit.audit` gives
the exponents of the end, this the slope on the way. Only the model of the first probe is trained, for a few updates.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .analysis.explain import Derivations
from .audit import audit
from .program.values import Value
from .report.model import Report
from .scaling.sizes import Estimator
from .targets.probe import Target
from .training.first import Courses, measured


@dataclass(frozen=True)
class Slopes:
    """Expected slopes against width, in log-log. init: of the value; update: of its change, at a small learning rate;

    capped: of its change after `steps` updates at the target's own. −∞ where it is zero, NaN where it is not known.
    """

    init: float
    update: float
    capped: float


class Expectation:
    """Sizes of the activations of one target at any width; names are those of the report's activations."""

    def __init__(self, target: Target, report: Report, steps: int) -> None:
        found = report.derivations
        assert isinstance(found, Derivations)
        self.base = target.axes[0].probes[0]
        self.activations: Mapping[str, Value] = found.activations
        outputs = [v for name, v in self.activations.items() if _returned(name) and math.prod(v.op.shape) > 1]
        once = Estimator(found.scaling, found.prediction, measured(target, found, 1), 1)
        courses, usual = Courses(target, found, once, outputs), measured(target, found, steps)
        self._small = Estimator(found.scaling, found.prediction, measured(target, found, 0))
        self._usual = Estimator(found.scaling, found.prediction, usual, steps, courses.at)
        self._sizes: dict[int, dict[str, tuple[float, float, float]]] = {}

    def sizes(self, width: int) -> dict[str, tuple[float, float, float]]:
        """Root mean squares of every activation, of its change per unit of a small learning rate, of its change."""
        if width not in self._sizes:
            small, usual = self._small.at(width / self.base), self._usual.at(width / self.base)
            self._sizes[width] = {
                name: (small[v].init, small[v].change, usual[v].change) for name, v in self.activations.items()
            }
        return self._sizes[width]

    def slopes(self, widths: Sequence[int]) -> dict[str, Slopes]:
        """Least-squares slopes over these widths."""
        x = [math.log(width) for width in widths]
        mean = sum(x) / len(x)
        weights = [(each - mean) / sum((other - mean) ** 2 for other in x) for each in x]
        tables = [self.sizes(width) for width in widths]
        return {
            name: Slopes(*(_slope(weights, [table[name][column] for table in tables]) for column in range(3)))
            for name in self.activations
        }


def expect(target: Target, report: Report | None = None, *, steps: int = 3) -> Expectation:
    """What training the target for `steps` updates would show. report: an audit of the same target, if there is one.

    Raises:
        UserError: the user's code raised, or the model does not grow with the width.
    """
    return Expectation(target, report or audit(target), steps)


def _returned(name: str) -> bool:
    """By the model itself."""
    return name.startswith("(output)")


def _slope(weights: Sequence[float], sizes: Sequence[float]) -> float:
    if not any(sizes):
        return -math.inf
    return sum(w * math.log(size) for w, size in zip(weights, sizes, strict=True)) if all(sizes) else math.nan
