"""From one formulation to another in the middle of training: what a tensor and its optimizer state are multiplied by.

Two plans for the same model in two formulations store a tensor at sizes that differ by θ = m**(difference of their
`gauge`), their forward multipliers making up for it (TP5 Lemma J.1, arXiv 2203.03466). A gradient is then θ times
smaller, so first moments and momentum buffers are divided by θ and second moments by θ² (eps and weight decay move with
the groups of the new plan).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import UserError
from ..optimizers import state_entries, state_power
from .plan import Plan, missing

FORMULATIONS = ("absorbed", "table3", "table8", "table9")


@dataclass(frozen=True)
class Move:
    """What one tensor goes through between two formulations: `weight` multiplies it (1.0: it stays as it is)."""

    weight: float
    optimizer: str

    def state(self, key: str) -> float:
        """The factor of one entry of its optimizer state, by torch's name for it ("exp_avg", "momentum_buffer", ...).

        Raises:
            UserError: the entry is not known, so that nothing can be said about it.
        """
        return state_factor(self.weight, self.optimizer, key)


def state_factor(weight: float, optimizer: str, key: str) -> float:
    """The factor of an entry of optimizer state when its tensor is multiplied by `weight`; as `Move.state`."""
    power = state_power(optimizer, key)
    if power is None:
        known = ", ".join(state_entries())
        raise UserError(f"do not know how the optimizer state {key!r} follows the gradient", f"known are {known}")
    return float(weight**-power)


def move_of(old: Plan, new: Plan, names: Sequence[str]) -> Move:
    """The factors that take the tensor of these names from the formulation of `old` to that of `new`.

    Raises:
        UserError: one plan does not know the tensor, or the plans are for different models, widths or optimizers.
    """
    check_pair(old, new)
    before, after = old.entry(names), new.entry(names)
    if before is None or after is None:
        raise missing("it has no entry for these parameters", list(names[:1]))
    return Move(old.scale(after.gauge - before.gauge), old.optimizer)


def check_pair(old: Plan, new: Plan) -> None:
    """Raise UserError unless the two plans differ in nothing but their formulation."""
    for what in ("width_name", "base_width", "width", "optimizer"):
        before, after = getattr(old, what), getattr(new, what)
        if before != after:
            raise UserError(
                f"these plans differ in more than their formulation: {what} is {before} here and {after} there",
                "make both with the same muaudit convert command, --formulation apart",
            )
