"""One use of a parameter: what is judged."""

from __future__ import annotations

from dataclasses import dataclass

from ..findings.discrepancy import Role
from .expression import Expr
from .values import Value


@dataclass(eq=False)
class Use:
    """One use of a parameter (or, with an empty `tensor`, of a contraction that may carry a constant).

    phi: the exponent an entry's aligned part must have here. e_in: exponent of the contracted dim, e_out: of the
    tensor's other dims. An init whose entries are random may be larger than phi by `slack` (central limit).
    """

    tensor: str
    role: Role
    e_in: float
    e_out: float
    phi: Expr
    value: Value  # where it is used
    kind: str = "tensor"  # "tensor" | "attention" | "contraction"
    dims: tuple[float, ...] = ()  # of the parameter as it is stored
    c: float = 0.0  # exponent of the constants that multiply the parameter itself, before it is used
    free: bool = False  # a standardised weight whose product is normalised: only the change relative to the init counts
    normalised: bool = False  # a norm alone reads the product, so only its change relative to its size counts
    with_other: bool = False  # a factor of a weight whose init is judged with another factor
    alpha: float | None = None  # inside a branch of a stack of L blocks, which adds L^-α; None outside
    rows: str = ""  # which outputs alone, of a weight that makes some that grow and some that do not
    natural: float = 0.0  # exponent that an entry has by default, for parameters that are sizes of others

    @property
    def drawn(self) -> str:
        """The name that its initialization and training go by: the parameter's, and which rows of it."""
        return row_name(self.tensor, self.rows)

    @property
    def bounded(self) -> bool:
        """Whether an init may be smaller than what is asked for: a readout's."""
        return self.role == "output" and not self.normalised

    @property
    def slack(self) -> float:
        return self.e_in / 2 if (self.e_out > 0 or self.normalised) and self.e_in > 0 else 0.0


def row_name(tensor: str, rows: str) -> str:
    """The name of some rows of a parameter."""
    return f"{tensor}[{rows}]" if rows else tensor


@dataclass(frozen=True)
class Reading:
    """How an expression of parameters is used: by what, as what, and which dims are summed.

    e_in: exponent of the summed dim, e_out: of the others. axis: which of the last two dims is summed, where known.
    """

    at: Value
    e_in: float
    e_out: float
    role: Role
    axis: int | None = None
