"""Ideal exponents: what size every value and every use of a parameter must have.

Give each value the exponent φ it has in an ideal run, where nothing blows up or vanishes. Nonlinearities, softmax,
losses and the model's outputs pin φ to 0; scaling by a constant adds its exponent; a sum makes its terms equal; a
contraction over a dim of exponent e adds e (law of large numbers: trained operands are correlated). Every use of a
parameter contributes an unknown φ. The equations then say what each use must be, given all constants on its paths: that
is the multiplier of the use, wherever the constants stand (TP5 Lemma J.1 in graph form).

What the pins leave open is a gauge freedom: a constant between two uses belongs to either. Anchors close it: values
that normalisation, contractions and homogeneous functions read are 0 by default. Each anchor can be moved later, when
another gauge explains the whole model and the default does not.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from ..findings.discrepancy import Role
from ..program.expression import Expr
from ..program.kinds import meaning
from ..program.kinds.meaning import Wish
from ..program.lower import Program
from ..program.operands import before_scales, parameters_in, source_role
from ..program.use import Reading, Use
from ..program.values import MOVED, ZERO, Value, beyond, readers_of
from ..trace.align import Op
from .degrees import normalised
from .linear import System


@dataclass
class Conflict:
    """Two paths that meet at different exponents, with no parameter to account for it.

    pinned: one value instead, which has to be of size 1 and is of size n^delta.
    """

    value: Value
    delta: float
    pinned: bool = False


@dataclass
class Ideal:
    """The solved system: φ of every value, all uses, and what could not be reconciled."""

    system: System
    phi: dict[Value, Expr]
    uses: list[Use]
    anchors: list[int]
    conflicts: list[Conflict]
    unknown: list[Value]
    unjudged: dict[str, tuple[Op, str]] = field(default_factory=dict)
    sized: frozenset[int] = frozenset()  # the anchors that are sizes of values which a homogeneous function reads
    scaled: dict[int, float] = field(default_factory=dict)  # anchors of values that are scaled before they are read

    def number(self, expr: Expr, shifts: dict[int, float]) -> float:
        """The value of an exponent under the given anchor shifts."""
        reduced = self.system.reduce(expr)
        return reduced.const + sum(c * shifts.get(v, 0.0) for v, c in reduced.terms.items())

    def asks(self) -> list[tuple[Any, ...]]:
        """All that the uses of parameters, and the sums that conflict, ask for, whatever values are numbered by."""
        numbers: dict[int, int] = {}  # anchors in the order in which uses name them

        def plain(expr: Expr) -> tuple[Any, ...]:
            reduced = self.system.reduce(expr)
            named = {anchor: round(c, 6) for anchor, c in sorted(reduced.terms.items()) if c}
            terms = sorted((numbers.setdefault(anchor, len(numbers)), c) for anchor, c in named.items())
            return round(reduced.const, 6), tuple(terms)

        uses = [
            (use.drawn, use.kind, use.role, use.dims, use.e_in, use.e_out, use.slack, use.c, use.free, use.normalised,
             use.with_other, use.natural, plain(use.phi))
            for use in self.uses
        ]  # fmt: skip
        sized = tuple(sorted(numbers[anchor] for anchor in self.sized if anchor in numbers))
        return [*uses, *((each.value.op.file, each.value.op.line, each.delta) for each in self.conflicts), sized]


class Solver:
    """Walks a program once, collecting equations; then anchors what they leave open.

    without: scalings that are read as if their constant did not grow. right: sums whose constant is not asked for.
    share: α, where what one block of L adds to its stream is of size L^-α. pinned: the stream is of size 1.
    """

    def __init__(
        self, program: Program, without: Collection[Value] = (), right: Collection[Value] = (), share: float = 1.0,
        pinned: bool = True,
    ) -> None:  # fmt: skip
        self.program = program
        self.share, self.pinned = share, pinned
        self.without, self.right = without, right
        self.system = System()
        self.phi: dict[Value, Expr] = {}
        self.uses: list[Use] = []
        self.conflicts: list[Conflict] = []
        self.unknown: list[Value] = []
        self.listed: dict[str, tuple[Op, str]] = {}  # the parameters that are not judged: where, and why
        self.wishes: list[tuple[Wish, Value]] = []
        self.zero: set[Value] = set()
        self.tainted: set[Value] = set()  # made from what is not understood: says nothing about its operands
        self.between: list[tuple[Expr, float]] = []  # first factors of products of matrices: what they make is size 1
        self.products: list[tuple[Value, list[Use]]] = []  # of a weight and an activation, with the uses in the weight
        self.sized: set[int] = set()  # anchors of values that a homogeneous function reads
        self.scaled: dict[int, float] = {}  # anchors of values that are scaled before they are read, and by how much
        self.derived: set[Value] = set()  # made from derivatives that the forward computes
        self._first: dict[str, Expr] = {}  # φ of the first use of every parameter
        self._used: set[str] = set()  # the parameters with a use that is not a derivative
        self._sources: dict[tuple[Value, Value], Expr] = {}
        self._read_by = readers_of(program.values)
        self.live = program.reaching_outputs()

    # -- reading operands ----------------------------------------------------------------------------------------

    def act(self, x: Value, at: Value, role: Role | None = None) -> Expr | None:
        """φ of an operand that `at` reads as an activation; None for zeros. A bare parameter becomes a source."""
        if x.kind == "data":
            return None if x.c == ZERO else Expr(x.c)
        if x in self.zero:
            return None
        if x.weight:
            if (x, at) not in self._sources:
                self._sources[x, at] = self.used(x, Reading(at, 0.0, x.size, role or source_role(x, at)))
            return self._sources[x, at]
        return self.phi[x]

    def used(self, x: Value, how: Reading) -> Expr:
        """φ of an expression of parameters: each parameter in it becomes a use."""
        return meaning(x).used(x, how, self)

    def use(self, x: Value, how: Reading) -> Expr:
        """φ of a parameter, by a new use of it."""
        if how.at.derivative:  # by the chain rule: the very use that is judged on the way forwards
            return self._first.setdefault(x.name, self.open())
        if self._makes_matrix(how.at, max(x.dims, default=0.0)):
            return self.not_judged(x, how.at, x.op, "it makes the entries of a matrix of two dims that grow")
        phi = self.open()
        if x.name not in self._used:
            phi = self._first.setdefault(x.name, phi)
        self._used.add(x.name)
        alpha = self.share if how.at in self.program.inside else None
        self.uses.append(Use(x.name, how.role, how.e_in, how.e_out, phi, how.at, dims=x.dims, alpha=alpha, rows=x.rows))
        return phi

    def open(self) -> Expr:
        """An exponent of which nothing is known."""
        return Expr(0.0, {self.system.unknown(): 1.0})

    def reduced(self, phi: Expr) -> Expr:
        """What is known of an exponent: a number, where it has no terms."""
        return self.system.reduce(phi)

    def readers(self, v: Value) -> list[Value]:
        """What reads a value."""
        return self._read_by.get(v, [])

    def _live_readers(self, v: Value) -> list[Value]:
        return [reader for reader in self.readers(v) if reader in self.live]

    def size_at_start(self, x: Value) -> float | None:
        """Exponent of the size at initialization of what is made of parameters alone."""
        return self.program.exponent(x)

    def says_nothing(self, v: Value) -> bool:
        """Whether a value is made of what is not understood."""
        return v in self.tainted

    def of_derivatives(self, v: Value) -> bool:
        """Whether a value is made of derivatives that the forward computes."""
        return v in self.derived

    def _makes_matrix(self, v: Value, largest: float) -> bool:
        """Whether the product of widths that v has as one dim is taken apart into dims that grow."""
        if largest <= max(1.0, *self.program.aligned.sizes.units):
            return False
        growing = sum(e > 0 for e in v.dims)
        return any(sum(e > 0 for e in reader.dims) > growing for reader in beyond(v, self.readers))

    # -- what kinds of value say -----------------------------------------------------------------------------------

    def equal(self, a: Expr, b: Expr, at: Value) -> bool:
        """Equate two exponents; False where both are known and differ: a conflict, but for what is not understood."""
        return self._equate(a - b, at, pinned=False)

    def _equate(self, difference: Expr, at: Value, *, pinned: bool) -> bool:
        delta = self.system.equate(difference)
        if delta is None or abs(delta) <= 1e-6:
            return True
        if not any(v in self.tainted for v in (at, *at.args)):
            self.conflicts.append(Conflict(at, delta, pinned))
        return False

    def pin(self, x: Value, at: Value) -> bool:
        """φ(x) = 0; False where it is known to be something else."""
        phi = self.act(x, at)
        return phi is None or self._equate(phi, at, pinned=True)

    def wish(self, wish: Wish, x: Value) -> None:
        """An activation is of size 1 by default."""
        if x.kind != "data" and not x.weight:
            self.wishes.append((wish, x))

    def constant_of(self, v: Value, e_in: float) -> Expr:
        """The constant that a sum of activations is off by, n^-e_in where it is right: blamed on its line."""
        slack = self.open()
        if v not in self.right:
            self.uses.append(Use("", "scalar", e_in, 0.0, slack, v, kind="contraction"))
        return slack

    def unjudged(self, x: Value, op: Op, reason: str) -> None:
        """The parameters in x are listed with the reason."""
        for name in parameters_in(x):
            self.listed.setdefault(name, (op, reason))

    def not_judged(self, x: Value, at: Value, op: Op, reason: str) -> Expr:
        """Any exponent: the parameters in x are listed, and what is made of them says nothing."""
        self.unjudged(x, op, reason)
        self.tainted.add(at)
        return self.open()

    def not_understood(self, v: Value) -> None:
        """A value is listed with its note, and what is made of it says nothing."""
        self.unknown.append(v)
        self.tainted.add(v)

    def is_product(self, v: Value, uses: list[Use]) -> None:
        """A value is the product of a weight and an activation; `uses` are those in the weight."""
        self.products.append((v, uses))

    def inside_product(self, inner: Expr, e_in: float) -> None:
        """`inner` is summed over e_in first, in a product of matrices that is used as one."""
        self.between.append((inner, e_in))

    def read_as_logits(self, x: Value) -> None:
        """A q·k contraction is the one that a softmax reads through scales, sums and views."""
        stack, seen = [x], set()
        while stack:
            value = stack.pop()
            if value in seen:
                continue
            seen.add(value)
            if value.kind in MOVED or value.kind == "act":
                stack.extend(value.args)
            elif value.kind == "contract":
                for use in reversed(self.uses):
                    if use.value is value and use.kind == "contraction":
                        use.kind = "attention"

    # -- the walk --------------------------------------------------------------------------------------------------

    def run(self) -> Ideal:
        live = self.live
        pinned = False
        for value in self.program.values:
            if value.weight or value.kind == "data" or value not in live:
                continue
            if value.op.narrow.meta["in_loss"] and not pinned:
                self._pin_outputs()
                pinned = True
            kind = meaning(value)
            if not kind.says_of_operands and any(a in self.tainted for a in value.args):
                self.tainted.add(value)
            if value.derivative or any(a in self.derived for a in value.args):
                self.derived.add(value)
            self._pin_stream(value)
            phi = kind.equation(value, self)
            if phi is None:
                self.zero.add(value)
            else:
                self.phi[value] = phi
        if not pinned:
            self._pin_outputs()
        self._mark_normalised()
        anchors = self._anchor()
        for op in (node.narrow for node in self.program.aligned.ops if node.narrow.meta.get("param") in self._first):
            if op.meta["param"] not in self._used:
                reason = "only a derivative that the forward computes depends on it"
                self.listed.setdefault(op.meta["param"], (self.program.aligned.by_node[op], reason))
        return Ideal(self.system, self.phi, self.uses, anchors, self.conflicts, self.unknown, self.listed,
                     frozenset(self.sized), {a: c for a, c in self.scaled.items() if c})  # fmt: skip

    def _pin_stream(self, v: Value) -> None:
        """What a block finds in the stream is of size 1, before anything is said of what it adds."""
        stack = self.program.stack
        if self.pinned and stack is not None and v in stack.joins:
            for arg in v.args:
                if arg.kind != "term":
                    self.pin(arg, v)

    def _mark_normalised(self) -> None:
        """Which weights are read by norms alone, whatever slices of them are multiplied one by one."""
        products: dict[str, set[Value]] = {}
        for v, uses in self.products:
            for use in uses:
                products.setdefault(use.tensor, set()).add(v)
        in_norm, but_for_sums = (
            {name for name, made in products.items() if normalised(made, self._live_readers, alone=alone)}
            for alone in (True, False)
        )
        for v, uses in self.products:
            for use in uses:
                use.free = use.free and use.tensor in but_for_sums
                use.normalised = use.value is v and use.tensor in in_norm

    # -- what the pins leave open ----------------------------------------------------------------------------------

    def _pin_outputs(self) -> None:
        """What the loss reads is of size 1, and so is every other output of finite size: a value or auxiliary head."""
        for node in self.program.aligned.narrow.boundary:
            value = self.program.value_of(node)
            if value is None or value.weight or value not in self.phi or not value.op.shape:
                continue
            read = value.size == 0 or any(user.meta["in_loss"] for user in node.users)
            if read and not self.pin(value, value):
                self.phi[value] = Expr()  # told once: what the loss makes of it is judged as if it were right

    def _anchor(self) -> list[int]:
        """Close every open direction: what norms, contractions, homogeneous functions read is 0; gains; then all."""
        anchors: list[int] = []
        for wish, value in sorted(self.wishes, key=lambda each: each[0]):
            target = before_scales(value) if wish in (Wish.FACTOR, Wish.INPUT) else value
            if target in self.phi:
                anchor = self._close(self.phi[target], anchors)
                if anchor is not None and wish == Wish.HOMOGENEOUS:
                    self.sized.add(anchor)
                if anchor is not None and value in self.phi:
                    self.scaled[anchor] = self.system.reduce(self.phi[value] - self.phi[target]).const
        for inner, e_in in self.between:
            self._close(inner + e_in, anchors)
        rank = {"contraction": 2, "attention": 2, "tensor": 1}
        small = [u for u in self.uses if u.kind == "tensor" and u.role in ("scalar", "gain", "bias")]
        for use in [*small, *sorted(self.uses, key=lambda u: rank[u.kind])]:
            self._close(use.phi + (use.e_in - use.natural) if use.kind == "tensor" else use.phi, anchors)
        return anchors

    def _close(self, expr: Expr, anchors: list[int]) -> int | None:
        reduced = self.system.reduce(expr)
        if not any(v > 0 for v in reduced.terms):
            return None
        shift = self.system.parameter()
        self.system.equate(reduced + Expr(0.0, {shift: -1.0}))
        anchors.append(shift)
        return shift
