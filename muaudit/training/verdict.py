"""The verdict: what µP demands of every activation (TP5, arXiv 2203.03466, App. D.1 and Desiderata J.2), fit by fit.

Hidden values keep their size at initialization, and so does their change. Outputs and attention logits may shrink at
initialization; the change of a tied readout and of attention logits approaches its exponent slowly from below.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from math import inf
from typing import Literal

import numpy as np

from ..optimizers import named
from ..thresholds import FLAT_SLOPE, LATE, SIGNIFICANT_LOSS, TOO_WIDE
from .fit import Fit, fit, student
from .measurement import Activation, Array, Measurement

Status = Literal["pass", "fail", "undecided"]
RANK: dict[Status, int] = {"pass": 0, "undecided": 1, "fail": 2}
# kind → slopes that are allowed: of the value at initialization, of its change
ALLOWED: dict[str, tuple[tuple[float, float], tuple[float, float]]] = {
    "hidden": ((-0.25, 0.25), (-0.3, 0.3)),
    "output": ((-inf, 0.2), (-0.5, 0.2)),
    "logits": ((-inf, 0.2), (-0.8, 0.2)),
    # Over depth (CompleteP, arXiv 2505.01618): the stream keeps its size and its change, and so does what is inside of
    # a block; what one of L blocks adds is L^-1/2 at most, and its change L^-1.
    "stream": ((-0.25, 0.25), (-0.3, 0.3)),
    "added": ((-inf, -0.3), (-1.3, -0.7)),
    "inside": ((-0.25, 0.25), (-0.3, 0.3)),
}
# What outputs of a new model do. While what the loss asks for is as small as they are (a value head whose targets are
# near zero), their change goes with them.
RANDOM = -0.5
# How far below its exponent the change of outputs and logits may start: the gradient that reaches the logits of a new
# model is a sum over d_head entries of random sign, n^-1/2 of what it becomes once these have been learned.
SLOW = 0.5 + FLAT_SLOPE
NOISE = {"fp32": 1e-6, "bf16": 1e-2, "fp64": 1e-13}  # a change smaller than this part of its value is rounding


@dataclass(frozen=True)
class Slope:
    """One judged fit. step 0 is the value at initialization, later steps the change since."""

    step: int
    fit: Fit
    low: float  # allowed
    high: float
    status: Status

    @property
    def excess(self) -> float:
        """How far outside the allowed range."""
        return max(self.low - self.fit.slope, self.fit.slope - self.high, 0.0)


@dataclass(frozen=True)
class JudgedActivation:
    """An activation with its verdict. own: how much worse than everything that ran before it.

    disagreement: where the audit's prediction and the measurement differ in kind.
    """

    activation: Activation
    slopes: tuple[Slope, ...]
    status: Status
    own: float
    non_finite: str = ""
    disagreement: str = ""

    @property
    def worst(self) -> Slope | None:
        """The slope to show: of those with the worst status the one furthest outside, or with the widest interval."""
        return max(self.slopes, key=lambda s: (RANK[s.status], s.excess, s.fit.half_width), default=None)

    @property
    def excess(self) -> float:
        """How far outside the worst slope is; infinite for values that are not finite."""
        return inf if self.non_finite else max((s.excess for s in self.slopes), default=0.0)


@dataclass(frozen=True)
class CheckVerdict:
    """The result. judged: in the order of the forward pass; wider: whether the loss gets better with width."""

    status: Status
    judged: tuple[JudgedActivation, ...]
    wider: Status
    wider_detail: str

    @property
    def offenders(self) -> list[JudgedActivation]:
        """What failed: first where it starts, then what inherits it."""
        failed = [each for each in self.judged if each.status == "fail"]
        return sorted(failed, key=lambda j: (-round(j.own, 2), -j.excess))

    @property
    def undecided(self) -> list[JudgedActivation]:
        """What needs more widths or seeds, the most suspect first."""
        return sorted((j for j in self.judged if j.status == "undecided"), key=lambda j: -j.excess)

    @property
    def disagreements(self) -> list[JudgedActivation]:
        """Where prediction and measurement differ."""
        return [each for each in self.judged if each.disagreement]

    @property
    def exit_code(self) -> int:
        """1 for a failure; what is undecided is said, not punished."""
        return int(self.status == "fail")


def judge(run: Measurement) -> CheckVerdict:
    """The verdict on a measurement."""
    before = _Before()
    judged = [before.judged(run, activation, tuple(_slopes(run, activation))) for activation in run.activations]
    enough = any(each.slopes for each in judged) or any(each.non_finite for each in judged)
    status = _worst([each.status for each in judged]) if enough else "undecided"
    wider, detail = _wider(run) if run.axis == "width" else _finite(run)
    return CheckVerdict(status, tuple(judged), wider, detail)


@dataclass
class _Before:
    """What is known of the forward pass so far: step → the largest excess; broken: a value was not finite."""

    excess: dict[int, float] = field(default_factory=dict)
    broken: bool = False

    def judged(self, run: Measurement, activation: Activation, slopes: tuple[Slope, ...]) -> JudgedActivation:
        """The next activation, judged."""
        non_finite = _non_finite(run, activation)
        own = max((s.excess - self.excess.get(s.step, 0.0) for s in slopes if s.status == "fail"), default=0.0)
        if non_finite:
            own, self.broken = (own if self.broken else inf), True
        for slope in slopes:
            self.excess[slope.step] = max(self.excess.get(slope.step, 0.0), slope.excess)
        status = _worst([*_telling(slopes), "fail" if non_finite else "pass"])
        return JudgedActivation(activation, slopes, status, own, non_finite, _disagreement(run, activation, slopes))


def _slopes(run: Measurement, activation: Activation) -> Iterator[Slope]:
    values, change = activation.values["l2"], activation.values["change_l2"]
    start = fit(run.widths, values[:, :, 0])
    for step in range(run.steps + 1):
        sizes = values[:, :, 0] if step == 0 else change[:, :, step]
        if step:
            with np.errstate(invalid="ignore"):
                sizes = np.where(sizes > NOISE[run.dtype] * values[:, :, step], sizes, np.nan)
        found = fit(run.widths, sizes)
        if found is not None:
            low, high = _allowed(run, activation, step, start)
            yield Slope(step, found, low, high, _status(found, low, high))


def _allowed(run: Measurement, activation: Activation, step: int, start: Fit | None) -> tuple[float, float]:
    """The slopes that are right: of the value at initialization, or of its change by this step.

    Where the audit finds a constant on its way, a hidden value is what that makes of it. The change of outputs
    approaches its exponent slowly, with the constant in it or without. start: the fit of the value at initialization.
    """
    low, high = ALLOWED[activation.kind][step > 0]
    if activation.kind == "added" and step:
        return low, high + 1.0 - run.alpha  # the change of the stream goes through weights of size L^-alpha
    if run.axis == "depth":
        return low + (activation.ideal or 0.0), high + (activation.ideal or 0.0)
    if step and activation.kind == "output" and not activation.read:
        low = -inf  # its head is not trained
    elif step and _late(run, activation):
        low -= LATE
    elif step and activation.of_outputs:
        low = min(low, ALLOWED["output"][1][0])
    if step and activation.kind == "output" and start is not None and start.low <= RANDOM <= start.high:
        low = min(low, start.slope - FLAT_SLOPE)
    if activation.kind == "hidden" and activation.ideal is not None:
        return low + activation.ideal, high + activation.ideal
    carried = -activation.multiplier, activation.ideal or 0.0
    return low + min(0.0, *carried), high + max(0.0, *carried)


def _late(run: Measurement, activation: Activation) -> bool:
    """Whether its gradient is a sum of random signs at first, and the optimizer does not make up for that."""
    first = named(run.optimizer.partition(" ")[0])
    plain = first is not None and first[0].law is not None and first[0].law.gradient > 0
    return (activation.logits_only or activation.of_outputs) and plain


def _status(found: Fit, low: float, high: float) -> Status:
    if found.high < low or found.low > high:
        return "fail"
    surely = low <= found.low and found.high <= high
    likely = low <= found.slope <= high and found.half_width <= TOO_WIDE
    return "pass" if surely or likely else "undecided"


def _telling(slopes: tuple[Slope, ...]) -> Iterator[Status]:
    """The states that count: a fit whose interval says nothing is passed over where the change of another step passes.

    Of the value at initialization only one that is right as it stands, like that of a head with two outputs.
    """
    passes = any(slope.status == "pass" for slope in slopes if slope.step)
    for slope in slopes:
        silent = slope.status == "undecided" and slope.fit.half_width > TOO_WIDE and (slope.step or not slope.excess)
        if not (passes and silent):
            yield slope.status


def _worst(states: list[Status]) -> Status:
    return max(states, key=lambda status: RANK[status], default="pass")


def _non_finite(run: Measurement, activation: Activation) -> str:
    bad = np.isinf(activation.values["l2"])
    if not bad.any():
        return ""
    width, _, step = (
        int(place[0]) for place in np.nonzero(bad & (np.arange(bad.shape[2]) == np.nonzero(bad)[2].min()))
    )
    return f"not finite at step {step}, width {run.widths[width]}"


def _class(exponent: float) -> str:
    return "grows" if exponent > FLAT_SLOPE else "shrinks" if exponent < -FLAT_SLOPE else "stays"


def _disagreement(run: Measurement, activation: Activation, slopes: tuple[Slope, ...]) -> str:
    """Prediction against measurement, by class. The change lies between the linear response and what caps it.

    Outputs, logits and what is trained through logits alone reach their exponent from below.
    """
    parts, slow = [], activation.kind != "hidden" or _late(run, activation)
    if activation.kind == "output" and not activation.read:
        return ""  # predicted as if its head were trained
    for what, step, linear, capped in (
        ("init", 0, activation.predicted_init, activation.predicted_init),
        ("change", 1, activation.predicted_update, activation.predicted_capped),
    ):
        found = next((s.fit for s in slopes if s.step in (step, 2 * step)), None)
        if linear is None or found is None or found.half_width > TOO_WIDE or abs(linear) == inf:
            continue
        least, most = sorted((linear, linear if capped is None else capped))
        apart = found.low - FLAT_SLOPE > most or found.high + (SLOW if slow else FLAT_SLOPE) < least
        if apart and _class(found.slope) not in (_class(least), _class(most)):
            parts.append(f"{what} is predicted as {linear:+.2f} and measured as {found.slope:+.2f}")
    return "; ".join(parts)


def _finite(run: Measurement) -> tuple[Status, str]:
    """Over depth nothing is asked of the loss but that it is a number."""
    return ("fail", "the loss is not finite") if np.isinf(run.loss).any() else ("pass", "not asked over depth")


def _wider(run: Measurement) -> tuple[Status, str]:
    """TP5 section 8: the loss at each step must not get worse with width."""
    done = [place for place in range(len(run.widths)) if np.isfinite(run.loss[place]).any()]
    if np.isinf(run.loss).any():
        return "fail", "the loss is not finite"
    if len(done) < 2:
        return "undecided", "fewer than two widths were measured"
    worst: tuple[float, str] = (0.0, "")
    for step in range(1, run.steps + 1):
        for narrow, wide in pairwise(done):
            rise, noise = _rise(run.loss[narrow, :, step], run.loss[wide, :, step])
            if rise - noise > worst[0]:
                text = (
                    f"at step {step} the loss rises by {rise:.3g} from width {run.widths[narrow]} to {run.widths[wide]}"
                )
                worst = rise - noise, text
    if worst[1] and run.seeds == 1:
        return "undecided", f"{worst[1]}; one seed does not tell whether by chance"
    if worst[1]:
        return "fail", worst[1]
    return ("pass" if run.steps else "undecided"), f"over {run.steps} steps" if run.steps else "no step was taken"


def _rise(narrow: Array, wide: Array) -> tuple[float, float]:
    """How much the mean loss rises, and how much of that may be noise."""
    narrow, wide = narrow[np.isfinite(narrow)], wide[np.isfinite(wide)]
    if not len(narrow) or not len(wide):
        return 0.0, 0.0
    freedom = len(narrow) + len(wide) - 2
    spread = 0.0
    if len(narrow) > 1 and len(wide) > 1:
        spread = float(np.sqrt(narrow.var(ddof=1) / len(narrow) + wide.var(ddof=1) / len(wide))) * student(
            max(1, freedom)
        )
    return float(wide.mean() - narrow.mean()), spread + SIGNIFICANT_LOSS * abs(float(narrow.mean()))
