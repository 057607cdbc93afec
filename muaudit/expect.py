"""What a coordinate check of a target would measure at a width: the audit's exponents, with the sizes they start from.

    expected = expect(target)
    expected.slopes((1024, 2048))["layers.0.mlp"].init

Where several terms of different exponents compete, the slope at a given width lies between them; `muaudit.audit` gives
the exponents of the end, this the slope on the way. Nothing is trained: one more recording at the first probe.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from .audit import SEED, audit
from .capture.kernels import probe_kernels
from .capture.recorder import record
from .report.model import Report
from .scaling.explain import Derivations
from .scaling.sizes import Estimator, First
from .scaling.values import Value
from .target.probe import Target


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
        first = _first(target, found)
        self._small = Estimator(found.scaling, found.prediction, first)
        self._usual = Estimator(found.scaling, found.prediction, first, steps)
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


def _first(target: Target, found: Derivations) -> First:
    """What one more recording at the first probe tells."""
    program, sizes = found.scaling.program, target.sizes(0)
    with probe_kernels():
        model, inputs = target.build(sizes, SEED), target.inputs(sizes)
        torch.manual_seed(SEED)
        again = record(model, inputs.args, inputs.kwargs, lambda output: target.loss(output, inputs), sizes=True)
    first = First({}, {}, again.grad_rms)
    nodes = zip(found.scaling.aligned.narrow.graph.nodes, again.graph.nodes, strict=True)
    twins = dict(nodes)
    for node, twin in twins.items():
        result = program.of.get(node)
        value = result[0] if isinstance(result, tuple) else result
        size = twin.meta.get("size")
        if value is not None and size is not None and value.op.narrow is node:
            first.sizes[value] = size
    for value in program.values:
        if value.kind == "contract" and twins[value.op.narrow].meta.get("overlaps"):
            first.overlaps[value] = twins[value.op.narrow].meta["overlaps"]
    return first


def _slope(weights: Sequence[float], sizes: Sequence[float]) -> float:
    if not any(sizes):
        return -math.inf
    return sum(w * math.log(size) for w, size in zip(weights, sizes, strict=True)) if all(sizes) else math.nan
