"""What was read of the residual stream of a stack of blocks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..trace.align import Op
from .values import Value

Origin = tuple[str, int]  # container and number of a block
OUTSIDE: Origin = ("(outside)", -1)  # no name of a container: one may be the model itself, ""


@dataclass(frozen=True)
class Unread:
    """A stack that could not be read: of which container, where, and why.

    gain: a parameter multiplies the stream. post_norm: every sum is normalised before the next block reads it."""

    container: str
    op: Op | None
    reason: str
    gain: bool = False
    post_norm: bool = False

    @property
    def where(self) -> str:
        """`model.py:12: `, where that is known."""
        return f"{self.op.file}:{self.op.line}: " if self.op is not None and self.op.file else ""


@dataclass(frozen=True)
class Way:
    """One way from a value outside the blocks into the stream: the sum that adds it, at which place, and the exponent
    of the constants between."""

    sum: Value
    place: int
    c: float


@dataclass(frozen=True)
class Stream:
    """What was read.

    ends: the value that has seen all blocks, by container. joins: the sums on the stream. terms: every (sum, place)
    that adds one branch, with its block. skips: constants that multiply the stream between blocks. outside: what comes
    in from outside the blocks, by all its ways in order. origins: the blocks that a value is made in, or its terms.
    copies: what comes in from outside once more in every block. unread: why it cannot be judged, where it cannot.
    """

    ends: Mapping[str, Value]
    joins: frozenset[Value]
    terms: Mapping[tuple[Value, int], Origin]
    skips: tuple[Value, ...]
    outside: Mapping[Value, tuple[Way, ...]]
    origins: Mapping[Value, frozenset[Origin]]
    unread: tuple[Unread, ...] = ()
    copies: tuple[Value, ...] = ()
