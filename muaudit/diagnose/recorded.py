"""What was recorded of a run, as plain data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Kind = Literal[
    "activation", "logits", "loss", "overflow", "gradient", "scale", "underflow", "eps", "update"
]  # in the order of a step


@dataclass(frozen=True)
class Quantity:
    """One number of every step.

    name: what of, as the coordinate check names it (`blocks.0.attn.logits`), or the parameter's name. module: the
    module that computes it, or that the parameter is in. values: by step; shorter where the run ended early.

    The kinds: root mean square of an activation, of attention logits, of a gradient; the loss; the share of an
    activation's entries that the precision cannot hold (overflow), of a gradient's that vanish in it at the best loss
    scale (underflow), and that scale; the share of a gradient's that are smaller than Adam's eps; the norm of an update
    over its tensor's norm.
    """

    kind: Kind
    name: str
    module: str
    values: tuple[float, ...]


@dataclass(frozen=True)
class Recorded:
    """A run at one width: quantities in the order in which a step computes them.

    steps: updates that were taken. diverged: the step whose loss was beyond recovery, None where there was none.
    """

    width: int
    steps: int
    diverged: int | None
    quantities: tuple[Quantity, ...] = field(default_factory=tuple)

    @property
    def scales(self) -> tuple[float, ...]:
        """The loss scale of every step; empty where no precision scales the loss."""
        return next((each.values for each in self.quantities if each.kind == "scale"), ())

    @property
    def losses(self) -> tuple[float, ...]:
        """The loss of every step."""
        return next((each.values for each in self.quantities if each.kind == "loss"), ())
