"""The small language that recorded operations are lowered to: sixteen kinds of value.

Every rule of the audit (ideal exponents, predicted exponents, gradients) is written once per kind, in `kinds`, not per
operation.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from ..findings.exponents import ZERO as ZERO
from ..trace.align import Op

Kind = Literal[
    "param", "data", "scale", "view", "join", "lookup", "contract", "mul", "power", "reduce", "norm", "softmax",
    "act", "loss", "unknown", "term",
]  # fmt: skip

SUMMED = "summed"  # the note of a view that is a sum or a mean over dims that do not grow
COPY = "copy"  # the note of a term that is the same in every block
DIAGONAL = "diagonal"  # the note of a view that is a matrix with what it is made of on its diagonal
PER_CHANNEL = "per channel"  # the note of a convolution whose channels do not mix


@dataclass(eq=False)
class Value:
    """One value; `dims` are the width exponents of its dims, `op` the recorded operation it comes from."""

    kind: Kind
    args: tuple[Value, ...]
    dims: tuple[float, ...]
    op: Op
    index: int = -1
    name: str = ""
    c: float = 0.0
    e: float = 0.0
    e_out: tuple[float, float] = (0.0, 0.0)  # contract: exponent of the dims only arg0 / only arg1 has
    low: float = 1.0
    factor: float = 1.0  # scale: the constant itself at the first probe
    mean: bool = False
    signed: bool = True  # False: entries share a sign, so sums of them add up
    weight: bool = field(default=False)  # made of parameters alone
    back: float = 0.0  # how much further a gradient is scaled on its way back through here than the forward says
    note: str = ""
    rows: str = ""  # param: which outputs of a weight this one makes alone (`row_parts`); all where empty
    open: bool = False  # unknown: says nothing about the size of what it reads either

    @property
    def size(self) -> float:
        """Exponent of the number of entries."""
        return sum(self.dims)

    @property
    def derivative(self) -> bool:
        """Whether a backward that runs inside the forward computes it."""
        return bool(self.op.narrow.meta.get("derivative"))

    @property
    def normalises(self) -> bool:
        """A product of x and a negative power of a mean of powers of x: a norm layer spelled out."""
        return self.kind == "mul" and any(
            _divides(scale, plain(x)) for x, scale in (self.args, self.args[::-1]) if scale.kind != "data"
        )


def _divides(scale: Value, x: Value) -> bool:
    negative = False
    for _ in range(12):
        if scale.kind == "power" and scale.c < 0:
            negative = True
        if scale.kind == "power" and scale.c > 1 and negative:
            return plain(scale.args[0]) is x
        if scale.kind not in ("power", "view", "reduce", "scale", "join") or not scale.args:
            return False
        scale = next((a for a in scale.args if a.kind != "data"), scale.args[0])
    return False


def plain(v: Value) -> Value:
    """What a view is a view of."""
    while v.kind == "view":
        v = v.args[0]
    return v


MOVED: Collection[Kind] = ("view", "scale", "join")  # what leaves a value what it is, up to constants and other terms


def beyond(
    start: Value, step: Callable[[Value], Iterable[Value]], through: Callable[[Value], bool] = lambda v: v.kind in MOVED
) -> Iterator[Value]:
    """What is one step from `start`, and what is one step from each of these that `through` lets pass; each once."""
    waiting, seen = [start], {start}
    while waiting:
        for value in step(waiting.pop()):
            if value not in seen:
                seen.add(value)
                yield value
                if through(value):
                    waiting.append(value)


def readers_of(values: Iterable[Value]) -> dict[Value, list[Value]]:
    """What reads every value that is read."""
    readers: dict[Value, list[Value]] = {}
    for value in values:
        for arg in value.args:
            readers.setdefault(arg, []).append(value)
    return readers


def arguments(v: Value) -> tuple[Value, ...]:
    """What a value is computed from: a step for `beyond`."""
    return v.args
