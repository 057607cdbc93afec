"""What is out of range, and where that began."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..thresholds import GREW, LEAVES, MOST_LOST
from .recorded import Kind, Quantity, Recorded


@dataclass(frozen=True)
class Departure:
    """A quantity on its way out of its range: from which step on, its value then, and what it is held against.

    start: of the first step, for sizes; 0 for shares, whose limits are fixed.
    """

    quantity: Quantity
    step: int
    value: float
    start: float


_FORWARDS: tuple[Kind, ...] = ("activation", "logits", "loss", "overflow")
_SIZES: tuple[Kind, ...] = ("activation", "logits", "gradient")


def leaving(run: Recorded) -> list[Departure]:
    """All that went out of range, in the order in which it began to; within one step, in that of the computation.

    Something is out of range where a size is LEAVES times what it may be, and what is GREW times as large by then is
    where that began: what comes later in a step is larger still, and would hide it. Where the loss is lost and nothing
    is out of range, that is all that has grown.
    """
    ends = [left.step for quantity in run.quantities if (left := _left(quantity, LEAVES)) is not None]
    ends += [run.diverged] if run.diverged is not None else []
    if not ends:
        return []
    found: list[tuple[int, int, int, Departure]] = []
    for number, quantity in enumerate(run.quantities):
        left = _left(quantity, GREW)
        if left is not None and (left.step <= min(ends) or _left(quantity, LEAVES) is not None):
            found.append((left.step, int(quantity.kind not in _FORWARDS), number, left))
    return [left for *_, left in sorted(found, key=lambda each: each[:3])]


def _left(quantity: Quantity, factor: float) -> Departure | None:
    start = quantity.values[0] if quantity.values else 0.0
    for step, value in enumerate(quantity.values):
        if _out(quantity.kind, value, start, step, factor):
            return Departure(quantity, step, value, start if quantity.kind in _SIZES else 0.0)
    return None


def _out(kind: Kind, value: float, start: float, step: int, factor: float) -> bool:
    if not math.isfinite(value):
        return True
    if kind in ("activation", "logits"):
        return value > factor * (max(1.0, start) if step else 1.0)
    if kind == "gradient":
        return step > 0 and start > 0 and value > factor**2 * start
    if kind == "overflow":
        return value > 0
    return kind in ("underflow", "eps") and step > 0 and value > MOST_LOST
