"""The step law of an optimizer, measured by running it: for classes whose step is not one of torch's.

Runs differ in one thing each: the size of the gradient, the size of the parameter, the learning rate, the shape. How
the last step answers, along the gradient, gives the powers of the law. Where an answer is no power that a law can have,
or depends on where it is asked, nothing is guessed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from ..thresholds import GRADIENT_FACTOR, LAW_MISSED_BY, OTHERWISE, POLAR_COSINE, SMALL_GRADIENTS, STILL
from .law import Law
from .running import DECAYS, CannotRun, Raised, Setup, Stepped, grown, run
from .treated import Piece, Treated, pieces, taken, together_with_first

OTHERS = 1e4
"""Entries of other parameters' gradients that decide a norm over all of them, whatever those of the measured one."""

MOST_ENTRIES = 1 << 16
"""Of a parameter that is looked at in the shape that it has."""

UNASKED = 1e-4
"""Which share of a weight, per learning rate, is a decay; what keeps a norm (Fromage) takes off less."""


@dataclass(frozen=True)
class Decay:
    """ignored: no step follows the group's weight decay. unasked: the decay, per lr, of a group that has another."""

    ignored: bool = False
    unasked: float = 0.0


AS_SET = Decay()

DECAYED = 1e-2
"""The share that decay takes off a weight in a step in which nothing else moves it: float32 must show it."""


class MeasuredSteps:
    """What the steps of one group of an optimizer follow, for parameters of one shape, at two widths.

    shapes: at both widths. unit: log of the width ratio. wider: the optimizer of the wider model, where both are to be
    run as they were built; else shapes are made small. All methods raise CannotRun where nothing can be read off.
    shared: whether a factor that all parameters have in common follows the gradients of the others, too (a norm over
    all of them, a rate that is found in training); theirs then decide it in every run, so that it is the same in all.
    """

    def __init__(
        self,
        optimizer: Any,
        group: int,
        shapes: tuple[tuple[int, ...], tuple[int, ...]],
        unit: float,
        wider: Any = None,
    ) -> None:
        self.optimizer, self.group, self.unit, self._wider = optimizer, group, unit, wider
        self.asked, self._probes = shapes[0], shapes
        self.narrow, self.wide = grown(*shapes) if wider is None else shapes
        self.shared = False

    def law(self) -> Law:
        """How a step follows the gradient and the parameter."""
        base = Setup(self.narrow)
        alone, beside = self._run(base), self._run(replace(base, others=OTHERS))
        self.shared = not math.isclose(alone.rms, beside.rms, rel_tol=LAW_MISSED_BY)
        if self._moves_without_gradient(base):
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
        return self._exponent(narrow, wide)

    def with_own(self, other: Any) -> float | None:
        """The same with what the optimizers of both probes keep for themselves, as a width in an attribute.

        other: the wider one. Settings of their groups are those of the narrower one in both. None where their groups
        are not the same.
        """
        groups = self.optimizer.param_groups
        if len(groups) != len(other.param_groups):
            return None
        shapes = self._probes if math.prod(self._probes[1]) <= MOST_ENTRIES else (self.narrow, self.wide)
        alike = {key: value for key, value in groups[self.group].items()
                 if isinstance(value, (int, float)) and key not in ("lr", *DECAYS)}  # fmt: skip
        setups = [Setup(shape, settings=alike, others=OTHERS * self.shared) for shape in shapes]
        narrow, wide = (run(each, self.group, setup)
                        for each, setup in zip((self.optimizer, other), setups, strict=True))  # fmt: skip
        return self._exponent(narrow, wide)

    def _exponent(self, narrow: Stepped, wide: Stepped) -> float:
        return _near(math.log(_moved(wide) / _moved(narrow)) / self.unit, 4, "the shape", "n^")

    def same_at_full_rank(self, law: Law, piece: Piece | None) -> None:
        """What holds for a gradient of rank one must hold for one of full rank too, of the largest singular value.

        piece: what is orthogonalised together with the first entry, at the first width.
        """
        if self.narrow == self.wide or len(self.narrow) < 2:
            return
        cut = [_all_of(shape) for shape in (self.narrow, self.wide)]
        if piece is not None and piece != cut[0]:
            cut = [piece, together_with_first(self._run, self.wide)]
        shapes = list(zip((self.narrow, self.wide), cut, strict=True))
        norms = [[_norm_by(self._run(Setup(shape, full=full)), law, of, full and piece is not None)
                  for shape, of in shapes] for full in (False, True)]  # fmt: skip
        by_rank = [math.log(wide / narrow) for narrow, wide in norms]
        if norms[1][0] > OTHERWISE * norms[0][0] or abs(by_rank[1] - by_rank[0]) / self.unit > 2 * LAW_MISSED_BY:
            raise CannotRun("how large its steps are depends on the rank of the gradient")

    def orthogonal(self) -> Piece | None:
        """What is orthogonalised together with the first entry of a matrix: all its directions move by one amount.

        None where nothing is.
        """
        step, whole = self._run(Setup(self.narrow, full=True)), _all_of(self.narrow)
        if len(self.narrow) < 2:
            return None
        if _is_polar(step, whole):
            return whole
        piece = together_with_first(self._run, self.narrow)
        return piece if piece != whole and _is_polar(step, piece) else None

    def normalised(self) -> bool:
        """Whether a vector moves along its gradient, divided by its norm: what orthogonalising makes of one column."""
        step = self._run(Setup(self.narrow, full=True))
        alike = float((step.change * step.gradient).sum()) / (float(step.change.norm() * step.gradient.norm()) or 1.0)
        return len(self.narrow) == 1 and self.narrow[0] > 1 and abs(alike) > POLAR_COSINE

    def pieces(self) -> Treated | None:
        """All that are orthogonalised apart, in the shape that was asked for; None where that cannot be told."""
        try:
            return pieces(self._run, self.asked) if math.prod(self.asked) <= MOST_ENTRIES else None
        except CannotRun:
            return None

    def power_of(self, key: str) -> float:
        """The power of a group's setting in its steps: 1 for a factor that multiplies them, 0 for one they ignore."""
        value = float(self.optimizer.param_groups[self.group][key])
        base = Setup(self.narrow)
        other = replace(base, settings={key: value * GRADIENT_FACTOR if value else 1.0})
        return _near(self._answer(base, other), 1, f"the group's {key}")

    def decays_weights(self) -> bool:
        """Whether weight decay is taken off the parameter: without a gradient, all of it loses the same share."""
        try:
            return _share(self._run(replace(self._still(), decayed=True))) > 0
        except Raised:
            raise
        except CannotRun:  # it divides by the norm of a gradient of zero
            with_it, without = (self._run(Setup(self.narrow, decayed=decayed)) for decayed in (True, False))
            return _share(replace(with_it, change=with_it.change - without.change)) > 0

    def decay(self) -> Decay:
        """What the step does with the weight decay of the group."""
        group, still = self.optimizer.param_groups[self.group], self._still()
        keys = {key: group[key] for key in DECAYS if key in group}
        if not any(keys.values()):
            share = _share(self._run(still))
            return Decay(unasked=share / still.rate if share > UNASKED * still.rate else 0.0)
        none = dict.fromkeys(keys, 0.0)
        anyway = _share(self._run(replace(still, decayed=True, settings=none))) / still.rate
        if anyway > UNASKED:  # whether the group's number is read counts where it is another
            asked = max(float(value or 0.0) for value in keys.values())
            return Decay(unasked=0.0 if math.isclose(anyway, asked, rel_tol=0.01) else anyway)
        for setup in (still, Setup(self.narrow, gradient=SMALL_GRADIENTS)):
            with_it = self._run(replace(setup, decayed=True))
            without = self._run(replace(setup, decayed=True, settings=none))
            if not torch.allclose(with_it.change, without.change, rtol=1e-9, atol=0.0):
                return Decay()
        return Decay(ignored=True)

    def decay_follows(self, key: str) -> float:
        """The power of a setting of the group, or of its `lr`, in the share of a weight that decay takes off."""
        base = replace(self._still(GRADIENT_FACTOR), decayed=True)
        value = float(self.optimizer.param_groups[self.group][key])
        more = {key: value * GRADIENT_FACTOR if value else 1.0}
        other = replace(base, rate=GRADIENT_FACTOR * base.rate) if key == "lr" else replace(base, settings=more)
        shares = _share(self._run(base)), _share(self._run(other))
        if not all(shares):
            raise CannotRun("its weight decay takes no share off a weight")
        return _near(math.log(shares[1] / shares[0]) / math.log(GRADIENT_FACTOR), 1, f"decay by the group's {key}")

    def _still(self, room: float = 1.0) -> Setup:
        """No gradient, and a rate at which the group's decay takes `DECAYED` off. room: for a factor on settings."""
        group = self.optimizer.param_groups[self.group]
        decay = max((float(group[key] or 0.0) for key in DECAYS if key in group), default=0.0)
        return Setup(self.narrow, gradient=0.0, rate=DECAYED / room / (decay or 1.0))

    def _moves_without_gradient(self, base: Setup) -> bool:
        moved = self._run(base).rms
        try:
            return self._run(replace(base, gradient=0.0)).rms > STILL * moved
        except CannotRun:  # what divides by the norm of a gradient of zero moves nowhere that is a number
            return False

    def _run(self, setup: Setup) -> Stepped:
        as_built = self._wider is not None
        optimizer = self._wider if as_built and setup.shape == self.wide != self.narrow else self.optimizer
        return run(optimizer, self.group, replace(setup, others=OTHERS) if self.shared else setup, as_built)

    def _answer(self, before: Setup, after: Setup) -> float:
        """The power with which a step answers a factor."""
        return math.log(_moved(self._run(after)) / _moved(self._run(before))) / math.log(GRADIENT_FACTOR)


def _share(step: Stepped) -> float:
    """The share that a step took off the parameter; 0 where that is not the same for all entries."""
    shares = -step.change / step.before
    return max(0.0, float(shares.mean())) if bool(torch.allclose(shares, shares.mean(), rtol=1e-3)) else 0.0


def _all_of(shape: Sequence[int]) -> Piece:
    return tuple(tuple(range(size)) for size in shape)


def _is_polar(step: Stepped, piece: Piece) -> bool:
    """Whether a piece of a step is the polar factor of that of the gradient, by one of its dims against the others."""
    change, gradient = taken(step.change, piece), taken(step.gradient, piece)
    if change.dim() < 2:
        return False
    for views in ((change.flatten(1), gradient.flatten(1)), (change.flatten(0, -2), gradient.flatten(0, -2))):
        left, _, right = torch.linalg.svd(views[1], full_matrices=False)
        polar = left @ right
        alike = float((views[0] * polar).sum()) / (float(views[0].norm() * polar.norm()) or 1.0)
        if abs(alike) > POLAR_COSINE:
            return True
    return False


def _norm_by(step: Stepped, law: Law, piece: Piece, polar: bool) -> float:
    """The spectral norm of a piece of a step, over what that of its gradient gives it.

    polar: all its singular values are meant to be the same; their mean is less noisy than the largest. What lies along
    the parameter itself is left out: decay, and what brings it back to a sphere.
    """
    along = (step.change * step.before).sum() / step.before.square().sum()
    parts = [taken(each, piece) for each in (step.change - along * step.before, step.gradient)]
    norm, of_gradient = (_spectral_norm(each) for each in parts)
    if polar and parts[0].dim() == 2:
        norm = float(parts[0].norm()) / math.sqrt(min(parts[0].shape))
    if not norm:
        raise CannotRun("its steps leave a parameter with a gradient where it is")
    return norm / float(of_gradient**law.gradient)


def _spectral_norm(x: torch.Tensor) -> float:
    return float(torch.linalg.matrix_norm(x.flatten(1), 2) if x.dim() > 1 else x.norm())


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
