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

from ..findings.discrepancy import Role
from ..program.lower import Program
from ..program.operands import (
    TRANSPARENT,
    axis_at,
    axis_below,
    before_scales,
    has_function,
    is_average,
    is_fixed_matrix,
    is_positive_function,
    is_zero,
    leaf_rank,
    made_of_squares,
    matrix_role,
    parameters_in,
    source_role,
    through_views,
)
from ..program.values import MOVED, PER_CHANNEL, ZERO, Value, beyond, readers_of
from ..trace.align import Op
from .degrees import normalised
from .linear import Expr, System


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
    natural: float = 0.0  # exponent that an entry has by default, for parameters that are sizes of others

    @property
    def slack(self) -> float:
        return self.e_in / 2 if (self.e_out > 0 or self.normalised) and self.e_in > 0 else 0.0


@dataclass
class Conflict:
    """Two paths that meet at different exponents, with no parameter to account for it."""

    value: Value
    delta: float


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

    def number(self, expr: Expr, shifts: dict[int, float]) -> float:
        """The value of an exponent under the given anchor shifts."""
        reduced = self.system.reduce(expr)
        return reduced.const + sum(c * shifts.get(v, 0.0) for v, c in reduced.terms.items())


class Solver:
    """Walks a program once, collecting equations; then anchors what they leave open.

    without: scalings that are read as if their constant did not grow. right: sums whose constant is not asked for.
    """

    def __init__(self, program: Program, without: Collection[Value] = (), right: Collection[Value] = ()) -> None:
        self.program = program
        self.without, self.right = without, right
        self.system = System()
        self.phi: dict[Value, Expr] = {}
        self.uses: list[Use] = []
        self.conflicts: list[Conflict] = []
        self.unknown: list[Value] = []
        self.unjudged: dict[str, tuple[Op, str]] = {}
        self.wishes: list[tuple[int, Value]] = []  # (priority, value that is 0 by default)
        self.zero: set[Value] = set()
        self.tainted: set[Value] = set()  # made from what is not understood: says nothing about its operands
        self.between: list[tuple[Expr, float]] = []  # first factors of products of matrices: what they make is size 1
        self.products: list[tuple[Value, list[Use]]] = []  # of a weight and an activation, with the uses in the weight
        self.sized: set[int] = set()  # anchors of values that a homogeneous function reads
        self.derived: set[Value] = set()  # made from derivatives that the forward computes
        self._first: dict[str, Expr] = {}  # φ of the first use of every parameter
        self._used: set[str] = set()  # the parameters with a use that is not a derivative
        self._sources: dict[tuple[Value, Value], Expr] = {}
        self.readers = readers_of(program.values)
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
                self._sources[x, at] = self.operator(x, at, 0.0, x.size, role or source_role(x, at))
            return self._sources[x, at]
        return self.phi[x]

    def operator(self, x: Value, at: Value, e_in: float, e_out: float, role: Role, axis: int | None = None) -> Expr:
        """φ of an expression of parameters, used by `at`: each parameter in it becomes a use.

        axis: which of the last two dims of x is summed over, where that is known.
        """
        if x.kind == "param":
            if at.derivative:  # by the chain rule: the very use that is judged on the way forwards
                return self._first.setdefault(x.name, Expr(0.0, {self.system.unknown(): 1.0}))
            if self._makes_matrix(at, max(x.dims, default=0.0)):
                return self._not_judged(x, at, x.op, "it makes the entries of a matrix of two dims that grow")
            phi = Expr(0.0, {self.system.unknown(): 1.0})
            if x.name not in self._used:
                phi = self._first.setdefault(x.name, phi)
            self._used.add(x.name)
            self.uses.append(Use(x.name, role, e_in, e_out, phi, at, dims=x.dims))
            return phi
        if x.kind == "data":
            return Expr(0.0 if x.c == ZERO else x.c)
        if x.kind == "contract" and axis is not None and all(a.weight for a in x.args):
            return self._product_of_matrices(x, at, e_in, e_out, axis)
        if x.kind not in ("scale", "view", "join", "mul"):
            return self._function_of_weights(x, at, e_in)
        if x.kind == "mul" and all(a.weight and a.size >= x.size > 1 for a in x.args):
            return self._product_by_entries(x, at, (e_in, e_out), role, axis)
        below, first = axis_below(x, axis), len(self.uses)
        parts = [a for a in x.args if not is_zero(a) and not (x.kind == "join" and is_fixed_matrix(a))]
        inner = [self._inner(a, x, at, (e_in, e_out), role, below) for a in parts]
        if x.kind == "scale":
            constant = x.c if x.c != ZERO else 0.0
            for use in self.uses[first:]:
                use.c += constant
                use.natural += x.e
                use.free |= x.note == "standardised"
            return inner[0] + constant
        if x.kind == "view":
            return inner[0]
        if x.kind == "join":
            for other in inner[1:]:
                self._equal(inner[0], other, at)
            return inner[0]
        return inner[0] + inner[1]

    def _function_of_weights(self, x: Value, at: Value, e_in: float) -> Expr:
        """A weight that a function with a scale of its own made: its argument has that scale, where nothing is summed.

        Under a sum, how random the entries still are depends on the function: that is not judged.
        """
        if x.kind == "act" and e_in == 0:
            self._equal(self.operator(x.args[0], at, 0.0, x.size, source_role(x.args[0], x)), Expr(), at)
            return Expr()
        return self._not_judged(x, at, x.op, f"a parameter inside {x.op.name} of parameters alone")

    def _readers(self, v: Value) -> list[Value]:
        return self.readers.get(v, [])

    def _live_readers(self, v: Value) -> list[Value]:
        return [reader for reader in self._readers(v) if reader in self.live]

    def _makes_matrix(self, v: Value, largest: float) -> bool:
        """Whether the product of widths that v has as one dim is taken apart into dims that grow."""
        if largest <= max(1.0, *self.program.aligned.sizes.units):
            return False
        growing = sum(e > 0 for e in v.dims)
        return any(sum(e > 0 for e in reader.dims) > growing for reader in beyond(v, self._readers))

    def _not_judged(self, x: Value, at: Value, op: Op, reason: str) -> Expr:
        """Any exponent: the parameters in x are listed with the reason, and what is made of them says nothing."""
        for name in parameters_in(x):
            self.unjudged.setdefault(name, (op, reason))
        self.tainted.add(at)
        return Expr(0.0, {self.system.unknown(): 1.0})

    def _inner(self, a: Value, x: Value, at: Value, sums: tuple[float, float], role: Role, axis: int | None) -> Expr:
        """An operand of an expression of parameters; a smaller factor of a product is a gain, which sums nothing."""
        other = next((b for b in x.args if b is not a), a)
        if x.kind == "mul" and sums[0] > 0 and has_function(a) and not has_function(other):
            measured = self.program.exponent(a)
            if measured is not None:  # the other factor is judged by the size that this one starts with
                self._function_of_weights(a, at, sums[0])
                return Expr(measured)
        if x.kind == "mul" and a.size < x.size:
            return self.operator(a, at, 0.0, a.size, "gain" if a.size > 0 else "scalar")
        return self.operator(a, at, *sums, role, axis)

    def _product_by_entries(self, x: Value, at: Value, sums: tuple[float, float], role: Role, axis: int | None) -> Expr:
        """x₀ ∘ x₁ used as one weight: each factor's change counts times the size that the other one starts with.

        The change of a factor goes along the other one entry by entry, so it adds up as a change of the product does.
        The init is that of the product: it is judged once, with the first factor.
        """
        sizes = [self.program.exponent(a) for a in x.args]
        if None in sizes or ZERO in sizes:
            return self._not_judged(x, at, x.op, "a factor of an elementwise product of weights of no known size")
        found: list[Expr] = []
        for a, other in zip(x.args, sizes[::-1], strict=True):
            first = len(self.uses)
            found.append(self.operator(a, at, *sums, role, axis) + float(other or 0.0))
            for use in self.uses[first:]:
                use.c += float(other or 0.0)
                use.with_other = len(found) > 1
        self._equal(found[0], found[1], at)
        return found[0]

    def _product_of_matrices(self, x: Value, at: Value, e_in: float, e_out: float, axis: int) -> Expr:
        """x₀·x₁ used as one matrix (merged adapters): the factor that is summed first, and what it makes, next."""
        first, second = (x.args[0], x.args[1]) if axis == 0 else (x.args[1], x.args[0])
        inner = self.operator(first, at, e_in, x.e, matrix_role(e_in, x.e), axis)
        self.between.append((inner, e_in))
        outer = self.operator(second, at, x.e, e_out, matrix_role(x.e, e_out), axis)
        return inner + outer + x.e

    def _equal(self, a: Expr, b: Expr, at: Value) -> bool:
        """Equate two exponents; False, and a conflict, where both are known and differ."""
        delta = self.system.equate(a - b)
        if delta is not None and abs(delta) > 1e-6:
            self.conflicts.append(Conflict(at, delta))
            return False
        return True

    def pin(self, x: Value, at: Value) -> bool:
        """φ(x) = 0; False where it is known to be something else."""
        phi = self.act(x, at)
        return phi is None or self._equal(phi, Expr(), at)

    # -- the rules, one per kind -----------------------------------------------------------------------------------

    def run(self) -> Ideal:
        live = self.live
        pinned = False
        for value in self.program.values:
            if value.weight or value.kind == "data" or value not in live:
                continue
            if value.op.narrow.meta["in_loss"] and not pinned:
                self._pin_outputs()
                pinned = True
            if value.kind in TRANSPARENT and any(a in self.tainted for a in value.args):
                self.tainted.add(value)
            if value.derivative or any(a in self.derived for a in value.args):
                self.derived.add(value)
            phi = getattr(self, f"_{value.kind}")(value)
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
                self.unjudged.setdefault(op.meta["param"], (self.program.aligned.by_node[op], reason))
        return Ideal(self.system, self.phi, self.uses, anchors, self.conflicts, self.unknown, self.unjudged,
                     frozenset(self.sized))  # fmt: skip

    def _scale(self, v: Value) -> Expr | None:
        phi = self.act(v.args[0], v)
        return None if phi is None or v.c == ZERO else phi + (0.0 if v in self.without else v.c)

    def _view(self, v: Value) -> Expr | None:
        return self.act(v.args[0], v)

    def _join(self, v: Value) -> Expr | None:
        if v in self.derived and any(a.weight for a in v.args):
            return self._changed_weights(v)
        phis = []
        activations = any(not a.weight and a.kind != "data" for a in v.args)
        for arg in v.args:
            role: Role | None = None
            if arg.weight and activations:
                role = "positional" if len(arg.dims) > 1 and leaf_rank(arg) > 1 else "bias"
                role = role if arg.size > 0 else "scalar"
            phi = self.act(arg, v, role)
            if phi is not None:
                phis.append(phi)
        agree = [self._equal(phis[0], other, v) for other in phis[1:]]
        if not all(agree):  # told once: what follows is judged as if the sum were right
            known = [phi for phi in phis if not self.system.reduce(phi).terms]
            return min(known, key=lambda phi: abs(self.system.reduce(phi).const), default=phis[0])
        return phis[0] if phis else None

    def _changed_weights(self, v: Value) -> Expr:
        """Weights to which a step along a gradient is added in the forward (MAML)."""
        for weight in (a for a in v.args if a.weight):
            self._not_judged(weight, v, v.op, "a parameter that the forward itself trains before it is used")
        return Expr(0.0, {self.system.unknown(): 1.0})

    def _lookup(self, v: Value) -> Expr | None:
        """A row of a table: one entry, nothing is summed."""
        table = v.args[0]
        return self.operator(table, v, 0.0, table.size, "input" if table.size > 0 else "scalar")

    def _contract(self, v: Value) -> Expr | None:
        x, y = v.args
        if x.weight and y.weight:
            return self._contract_weights(v)
        if x.weight or y.weight:
            weight, other = (x, y) if x.weight else (y, x)
            phi = self.act(other, v)
            e_out = v.e_out[0] if x.weight else v.e_out[1]
            if weight.size > v.e + e_out + 1e-6 and v.note != PER_CHANNEL:
                e_out = weight.size - v.e
            role = matrix_role(v.e, e_out) if v.note != PER_CHANNEL else "gain"
            self._wish(4, other)
            first = len(self.uses)
            if v.e > 0 and is_positive_function(weight):  # entries that add up, as a product of activations does
                used = self.operator(weight, v, 0.0, weight.size, role) + self._carries_constant(v)
            else:
                used = self.operator(weight, v, v.e, e_out, role, axis_at(v, weight))
            self.products.append((v, self.uses[first:]))
            return None if phi is None else phi + used + v.e
        return self._contract_activations(v)

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

    def _contract_weights(self, v: Value) -> Expr | None:
        """A parameter times a parameter: the one with no infinite dim besides the shared one is a source."""
        x, y = v.args
        if x.size > v.e and y.size > v.e:
            for name in (*parameters_in(x), *parameters_in(y)):
                self.unjudged.setdefault(name, (v.op, "a product of two parameters that both grow"))
        source, weight = (x, y) if x.size <= y.size else (y, x)
        e_out = weight.size - v.e
        phi = self.act(source, v)
        used = self.operator(weight, v, v.e, e_out, matrix_role(v.e, e_out))
        return None if phi is None else phi + used + v.e

    def _contract_activations(self, v: Value) -> Expr | None:
        x, y = (self.act(a, v) for a in v.args)
        if x is None or y is None:
            return None
        if v in self.tainted:
            return Expr(0.0, {self.system.unknown(): 1.0})
        if is_average(v):
            return x + y
        total = x + y + v.e
        known = any(a.kind == "data" for a in v.args)
        fixed = known or not x.terms or not y.terms
        if v.e > 0 or not fixed or (not known and self._are_logits(v)):
            total = total + self._carries_constant(v)
            for arg in v.args:
                self._wish(2, arg)
        return total

    def _are_logits(self, v: Value) -> bool:
        """Whether a softmax reads this through moves, constants and sums."""
        readers = beyond(v, self._readers)
        return any(reader.kind == "softmax" and "log" not in reader.op.name for reader in readers)

    def _carries_constant(self, v: Value) -> Expr:
        """The constant that a product of two activations, summed, is off by: judged like a use, blamed on its line."""
        slack = Expr(0.0, {self.system.unknown(): 1.0})
        if v not in self.right:
            self.uses.append(Use("", "scalar", v.e, 0.0, slack, v, kind="contraction"))
        return slack

    def _mul(self, v: Value) -> Expr | None:
        x, y = v.args
        if x.weight != y.weight:
            weight, other = (x, y) if x.weight else (y, x)
            phi = self.act(other, v)
            used = self.operator(weight, v, 0.0, weight.size, "gain" if weight.size > 0 else "scalar")
            return None if phi is None else phi + used
        first, second = self.act(x, v), self.act(y, v)
        return None if first is None or second is None else first + second

    def _power(self, v: Value) -> Expr | None:
        x = v.args[0]
        phi = self.act(x, v)
        if v.c == 1.0:
            self._wish(3, x)
        return None if phi is None else phi * v.c

    def _reduce(self, v: Value) -> Expr | None:
        x = v.args[0]
        phi = self.act(x, v)
        base = x.args[0] if x.kind == "power" else x
        self._wish(1 if x.kind == "power" else 3, base)
        if phi is None or v.mean:
            return phi
        product = through_views(x)
        squares = made_of_squares(product) and not self._makes_norm(v)
        if squares or (product.kind == "mul" and not any(a.weight for a in product.args)):
            return phi + v.e + self._carries_constant(v)
        return phi + v.e

    def _makes_norm(self, v: Value) -> bool:
        """Whether a root, or an inverse, is taken of this sum."""
        readers = beyond(v, self._readers, lambda r: r.kind in (*MOVED, "reduce", "power"))
        return any(reader.kind == "power" and reader.c < 1 for reader in readers)

    def _norm(self, v: Value) -> Expr | None:
        self.act(v.args[0], v)
        self._wish(1, v.args[0])
        return Expr()

    def _softmax(self, v: Value) -> Expr | None:
        self._mark_attention(v.args[0], softmax="log" not in v.op.name)  # a log-softmax is that of a loss
        self.pin(v.args[0], v)
        return Expr()

    def _act(self, v: Value) -> Expr | None:
        self._mark_attention(v.args[0], softmax=False)
        self.pin(v.args[0], v)
        return Expr()

    def _loss(self, v: Value) -> Expr | None:
        for arg in v.args:
            self.pin(arg, v)
        return Expr()

    def _unknown(self, v: Value) -> Expr | None:
        self.unknown.append(v)
        self.tainted.add(v)
        for arg in v.args:
            for name in parameters_in(arg) if arg.weight else ():
                self.unjudged.setdefault(name, (v.op, v.note))
            if not arg.weight and arg.kind != "data" and not v.open:
                self.pin(arg, v)
        return Expr(0.0, {self.system.unknown(): 1.0}) if v.open else Expr()

    # -- what the pins leave open ----------------------------------------------------------------------------------

    def _mark_attention(self, logits: Value, softmax: bool = True) -> None:
        """A q·k contraction is the one that softmax reads through scales, sums and views."""
        stack, seen = [logits], set()
        while stack:
            value = stack.pop()
            if value in seen:
                continue
            seen.add(value)
            if value.kind in ("scale", "view", "join") or (value.kind == "act" and softmax):
                stack.extend(value.args)
            elif value.kind == "contract" and softmax:
                for use in reversed(self.uses):
                    if use.value is value and use.kind == "contraction":
                        use.kind = "attention"

    def _pin_outputs(self) -> None:
        """What the loss reads is of size 1, and so is every other output of finite size: a value or auxiliary head."""
        for node in self.program.aligned.narrow.boundary:
            result = self.program.of.get(node)
            value = result[0] if isinstance(result, tuple) else result
            if value is None or value.weight or value not in self.phi or not value.op.shape:
                continue
            read = value.size == 0 or any(user.meta["in_loss"] for user in node.users)
            if read and not self.pin(value, value):
                self.phi[value] = Expr()  # told once: what the loss makes of it is judged as if it were right

    def _wish(self, priority: int, x: Value) -> None:
        if x.kind != "data" and not x.weight:
            self.wishes.append((priority, x))

    def _anchor(self) -> list[int]:
        """Close every open direction: what norms, contractions, homogeneous functions read is 0; gains; then all."""
        anchors: list[int] = []
        for priority, value in sorted(self.wishes, key=lambda w: w[0]):
            target = before_scales(value) if priority in (2, 4) else value
            if target in self.phi:
                anchor = self._close(self.phi[target], anchors)
                if anchor is not None and priority == 3:
                    self.sized.add(anchor)
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
