"""What a kind of value is for: the one base of the sixteen files beside this one, and what their methods are told.

A kind says four things. Its equation: what size it has in an ideal run, given the sizes that it reads (`solve.uses`
walks the program and collects these). How it is used as a weight, where it is made of parameters alone. The exponents
that training will show, forwards and backwards (`solve.predict` walks the program both ways). And its words.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

from ...findings.discrepancy import Role
from ...trace.align import Op
from ...trace.inits import Init
from ..expression import Expr
from ..use import Reading, Use
from ..values import ZERO, Value

TP5 = "TP5, arXiv 2203.03466"


class Wish(enum.IntEnum):
    """Values that are of size 1 unless another gauge explains the model: by what reads them, the firmest first."""

    NORM = 1
    FACTOR = 2
    HOMOGENEOUS = 3
    INPUT = 4


class Equations(Protocol):
    """What an equation is written with: the solver, as far as a kind of value has to know it."""

    uses: list[Use]
    without: Collection[Value]  # scalings that are read as if their constant did not grow
    share: float  # α: what one block of L adds to the stream is of size L^-α

    def act(self, x: Value, at: Value, role: Role | None = None) -> Expr | None:
        """φ of an operand that `at` reads as an activation; None for zeros. A bare parameter becomes a source."""

    def used(self, x: Value, how: Reading) -> Expr:
        """φ of an expression of parameters: each parameter in it becomes a use."""

    def use(self, x: Value, how: Reading) -> Expr:
        """φ of a parameter, by a new use of it."""

    def open(self) -> Expr:
        """An exponent of which nothing is known."""

    def reduced(self, phi: Expr) -> Expr:
        """What is known of an exponent: a number, where it has no terms."""

    def equal(self, a: Expr, b: Expr, at: Value) -> bool:
        """Equate two exponents; False, and a conflict, where both are known and differ."""

    def pin(self, x: Value, at: Value) -> bool:
        """φ(x) = 0; False where it is known to be something else."""

    def wish(self, wish: Wish, x: Value) -> None:
        """An activation is of size 1 by default."""

    def constant_of(self, v: Value, e_in: float) -> Expr:
        """The constant that a sum of activations is off by, n^-e_in where it is right: blamed on its line."""

    def unjudged(self, x: Value, op: Op, reason: str) -> None:
        """The parameters in x are listed with the reason."""

    def not_judged(self, x: Value, at: Value, op: Op, reason: str) -> Expr:
        """Any exponent: the parameters in x are listed, and what is made of them says nothing."""

    def not_understood(self, v: Value) -> None:
        """A value is listed with its note, and what is made of it says nothing."""

    def readers(self, v: Value) -> list[Value]:
        """What reads a value."""

    def says_nothing(self, v: Value) -> bool:
        """Whether a value is made of what is not understood."""

    def of_derivatives(self, v: Value) -> bool:
        """Whether a value is made of derivatives that the forward computes."""

    def is_product(self, v: Value, uses: list[Use]) -> None:
        """A value is the product of a weight and an activation; `uses` are those in the weight."""

    def inside_product(self, inner: Expr, e_in: float) -> None:
        """`inner` is summed over e_in first, in a product of matrices that is used as one."""

    def read_as_logits(self, x: Value) -> None:
        """A softmax reads x."""

    def size_at_start(self, x: Value) -> float | None:
        """Exponent of the size at initialization of what is made of parameters alone."""


@dataclass(frozen=True)
class Size:
    """Exponents of a typical entry: at initialization, of its change, of the change after capping.

    own: for tables that are also readouts, the exponent of the part of this value that is a row of the table.
    """

    init: float
    update: float
    capped: float
    own: Mapping[str, float] = field(default_factory=dict)


NOTHING = Size(ZERO, ZERO, ZERO)


@dataclass
class Flow:
    """One pass in the order of execution: what is known of parameters and gradients, and the sizes found so far.

    apart: the same sizes where nothing but the tensors of a block changes; of values that a stack of blocks adds up.
    """

    inits: Mapping[str, Init]
    steps: Mapping[str, float]  # exponents of one step of each parameter
    gradients: Mapping[Value, float]
    plain_steps: AbstractSet[str]  # parameters whose step is as large as their gradient
    tied: AbstractSet[str]  # parameters that are both looked up and contracted
    sizes: dict[Value, Size] = field(default_factory=dict)
    apart: Mapping[Value, Size] = field(default_factory=dict)


class Meaning:
    """One kind of value. φ is the exponent that a value has in an ideal run."""

    words: ClassVar[str]  # the rule, as derivations name it
    settles: ClassVar[bool] = False  # it fixes the size of what it reads, whatever that was
    repeats: ClassVar[bool] = False  # an operand of fewer entries is repeated, so its gradient is a sum
    sums: ClassVar[bool] = False  # entries of it sum up others
    keeps_signs: ClassVar[bool] = False  # its entries have both signs where those of an operand have
    is_weight: ClassVar[bool] = True  # made of parameters alone, it is a weight itself; else what they make
    says_of_operands: ClassVar[bool] = True  # that they are of size 1; else it passes on what nothing is known of

    def equation(self, v: Value, to: Equations) -> Expr | None:
        """φ of the value from those of what it reads; None for zeros."""
        raise NotImplementedError

    def used(self, x: Value, how: Reading, to: Equations) -> Expr:
        """φ of x, made of parameters alone, as a weight.

        How random its entries still are under a function of parameters is not known: that is not judged.
        """
        return to.not_judged(x, how.at, x.op, f"a parameter inside {x.op.name} of parameters alone")

    def forward(self, v: Value, flow: Flow) -> Size:
        """The exponents that training will show."""
        raise NotImplementedError

    def backward(self, v: Value, position: int, gradient: float, sizes: Mapping[Value, Size]) -> float:
        """The exponent of the gradient of one operand's entries, from that of the value's."""
        return gradient

    def degree(self, v: Value, degrees: Sequence[float | None], alone: bool) -> float | None:
        """Of what degree it is in what its operands are of these degrees in; None where it has none.

        alone: a sum with another activation has none.
        """
        return None

    def start(self, v: Value, inner: float) -> float | None:
        """The exponent of its size at initialization, from that of the parameters it is made of; None: not known."""
        return None
