"""The step law of an optimizer, measured by running it: for classes whose step is not one of torch's.

Runs differ in one thing each: the size of the gradient, the size of the parameter, the learning rate, the shape. How
the last step answers, along the gradient, gives the powers of the law. Where an answer is no power that a law can have,
or depends on where it is asked, nothing is guessed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import torch

from ..thresholds import GRADIENT_FACTOR, LAW_MISSED_BY, OTHERWISE, POLAR_COSINE, SMALL_GRADIENTS, STILL
from .law import Law
from .running import DECAYS, CannotRun, Setup, Stepped, grown, run

OTHERS = 1e4
"""Entries of other parameters' gradients that decide a norm over all of them, whatever those of the measured one."""

UNASKED = 1e-4
"""Which share of a weight, per learning rate, is a decay; what keeps a norm (Fromage) takes off less."""


@dataclass(frozen=True)
class Decay:
    """ignored: no step follows the group's weight decay. unasked: the decay, per lr, of a group that has another."""

    ignored: bool = False
    unasked: float = 0.0


AS_SET = Decay()


class MeasuredSteps:
    """What the steps of one group of an optimizer follow, for parameters of one shape, at two widths.

    shapes: at both widths. unit: log of the width ratio. All methods raise CannotRun where nothing can be read off.
    shared: whether a factor that all parameters have in common follows the gradients of the others, too (a norm over
    all of them, a rate that is found in training); theirs then decide it in every run, so that it is the same in all.
    """

    def __init__(
        self, optimizer: Any, group: int, shapes: tuple[tuple[int, ...], tuple[int, ...]], unit: float
    ) -> None:
        self.optimizer, self.group, self.unit = optimizer, group, unit
        self.narrow, self.wide = grown(*shapes)
        self.shared = False

    def law(self) -> Law:
        """How a step follows the gradient and the parameter."""
        base = Setup(self.narrow)
        alone, beside = self._run(base), self._run(replace(base, others=OTHERS))
        self.shared = not math.isclose(alone.rms, beside.rms, rel_tol=LAW_MISSED_BY)
        if self._run(replace(base, gradient=0.0)).rms > STILL * self._run(base).rms:
            raise CannotRun("it moves parameters that have no gradient")
        own_rate = self.optimizer.param_groups[self.group].get("lr") is None  # it finds its own
        by_rate = 1.0 if own_rate else self._answer(base, replace(base, rate=GRADIENT_FACTOR * base.rate))
        if abs(by_rate - 1) > LAW_MISSED_BY:
            raise CannotRun(f"its steps follow the learning rate to the power {by_rate:.2f}")
        gradient = _near(self._answer(base, replace(base, gradient=GRADIENT_FACTOR)), 2, "the size of the gradient")
        lower = self._answer(
            replace(base, gradient=SMALL_GRADIENTS / GRADIENT_FACTOR), replace(base, gradient=SMALL_GRADIENTS)
        )
        if abs(lower - gradient) > LAW_MISSED_BY:
            raise CannotRun("whether its steps follow the gradient depends on how large that is")
        size = self._answer(replace(base, size=base.size / GRADIENT_FACTOR), base)
        return Law(gradient, _near(size, 2, "the size of the parameter"))

    def shape(self) -> float:
        """The exponent of an entry of a step that the shape alone gives it."""
        if self.narrow == self.wide:
            return 0.0
        narrow, wide = (self._run(Setup(shape)) for shape in (self.narrow, self.wide))
        return _near(math.log(_moved(wide) / _moved(narrow)) / self.unit, 4, "the shape", "n^")

    def same_at_full_rank(self, found: float) -> None:
        """What holds for a gradient of rank one must hold for one of full rank too, of the largest singular value."""
        if self.narrow == self.wide or len(self.narrow) < 2:
            return
        spread = math.log(math.prod(self.narrow) / math.prod(self.wide)) / 2 / self.unit
        full = [self._run(Setup(shape, full=True)).norm for shape in (self.narrow, self.wide)]
        if abs(math.log(full[1] / full[0]) / self.unit - (found - spread)) > 2 * LAW_MISSED_BY:
            raise CannotRun("how large its steps are depends on the rank of the gradient")

    def orthogonal(self) -> bool:
        """Whether every direction of the gradient is moved by the same amount."""
        if len(self.narrow) < 2:
            return False
        step = self._run(Setup(self.narrow, full=True))
        left, _, right = torch.linalg.svd(step.gradient.flatten(1), full_matrices=False)
        polar = left @ right
        alike = float((step.change.flatten(1) * polar).sum()) / (float(step.change.norm()) * float(polar.norm()))
        return abs(alike) > POLAR_COSINE

    def power_of(self, key: str) -> float:
        """The power of a group's setting in its steps: 1 for a factor that multiplies them, 0 for one they ignore."""
        value = float(self.optimizer.param_groups[self.group][key])
        base = Setup(self.narrow)
        other = replace(base, settings={key: value * GRADIENT_FACTOR if value else 1.0})
        return _near(self._answer(base, other), 1, f"the group's {key}")

    def decays_weights(self) -> bool:
        """Whether weight decay is taken off the parameter: without a gradient, all of it loses the same share."""
        return _share(self._run(Setup(self.narrow, gradient=0.0, decayed=True))) > 0

    def decay(self) -> Decay:
        """What the step does with the weight decay of the group."""
        group, still = self.optimizer.param_groups[self.group], Setup(self.narrow, gradient=0.0)
        keys = {key: group[key] for key in DECAYS if key in group}
        if not any(keys.values()):
            share = _share(self._run(still))
            return Decay(unasked=share / still.rate if share > UNASKED * still.rate else 0.0)
        none = dict.fromkeys(keys, 0.0)
        anyway = _share(self._run(replace(still, decayed=True, settings=none))) / still.rate
        if anyway > UNASKED:  # whether the group's number is read counts where it is another
            asked = max(float(value or 0.0) for value in keys.values())
            return Decay(unasked=0.0 if math.isclose(anyway, asked, rel_tol=0.01) else anyway)
        for setup in (still, replace(still, gradient=SMALL_GRADIENTS)):
            with_it = self._run(replace(setup, decayed=True))
            without = self._run(replace(setup, decayed=True, settings=none))
            if not torch.allclose(with_it.change, without.change, rtol=1e-9, atol=0.0):
                return Decay()
        return Decay(ignored=True)

    def decay_follows(self, key: str) -> float:
        """The power of a setting of the group, or of its `lr`, in the share of a weight that decay takes off."""
        base = Setup(self.narrow, gradient=0.0, decayed=True)
        value = float(self.optimizer.param_groups[self.group][key])
        more = {key: value * GRADIENT_FACTOR if value else 1.0}
        other = replace(base, rate=GRADIENT_FACTOR * base.rate) if key == "lr" else replace(base, settings=more)
        shares = _share(self._run(base)), _share(self._run(other))
        if not all(shares):
            raise CannotRun("its weight decay takes no share off a weight")
        return _near(math.log(shares[1] / shares[0]) / math.log(GRADIENT_FACTOR), 1, f"decay by the group's {key}")

    def _run(self, setup: Setup) -> Stepped:
        return run(self.optimizer, self.group, replace(setup, others=OTHERS) if self.shared else setup)

    def _answer(self, before: Setup, after: Setup) -> float:
        """The power with which a step answers a factor."""
        return math.log(_moved(self._run(after)) / _moved(self._run(before))) / math.log(GRADIENT_FACTOR)


def _share(step: Stepped) -> float:
    """The share that a step took off the parameter; 0 where that is not the same for all entries."""
    shares = -step.change / step.before
    return max(0.0, float(shares.mean())) if bool(torch.allclose(shares, shares.mean(), rtol=1e-3)) else 0.0


def _moved(step: Stepped) -> float:
    size = step.along
    if size == 0:
        raise CannotRun("its steps leave a parameter with a gradient where it is")
    if step.change.dim() > 1 and step.norm > OTHERWISE * size * step.change.numel() ** 0.5:
        raise CannotRun("its steps do not go along with the gradient")
    return size


def _near(found: float, parts: int, what: str, sign: str = "to the power ") -> float:
    """The multiple of 1/parts that a power is."""
    near = round(parts * found) / parts
    if abs(found - near) > LAW_MISSED_BY:
        raise CannotRun(f"its steps follow {what} {sign}{found:.2f}")
    return near + 0.0
