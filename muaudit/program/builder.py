"""What lowers an operation: a function for every way of treating sizes, and the builder whose methods they call.

An operation that is declared in `ops` is understood; any other that a parameter flows into becomes an `unknown` value
with its reason. Nothing is treated as harmless by default.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from torch import fx

from ..findings.exponents import exponent_of, of_sum, simple, snap
from ..ops import Operation
from ..thresholds import CONVERGES, EXACT, SAME, SNAP_ADDED, SNAP_SCALAR, SNAP_TENSOR
from ..trace.align import Aligned, Op
from .kinds import MEANINGS
from .pieces import Pieces
from .starts import Starts, start_of
from .values import SUMMED, ZERO, Kind, Value

Result: TypeAlias = "Value | tuple[Value | None, ...]"
Declared = TypeVar("Declared", bound=Operation)
LOWERINGS: dict[type[Operation], Callable[[Builder, Op, Any], Result]] = {}


@dataclass(frozen=True)
class Number:
    """A Python number written in the code, at both widths."""

    narrow: float
    wide: float
    exponent: float


def lowers(
    declared: type[Declared],
) -> Callable[[Callable[[Builder, Op, Declared], Result]], Callable[[Builder, Op, Declared], Result]]:
    """Register how operations that are declared as this class are lowered."""

    def register(lowering: Callable[[Builder, Op, Declared], Result]) -> Callable[[Builder, Op, Declared], Result]:
        LOWERINGS[declared] = lowering
        return lowering

    return register


class Builder:
    """Makes values for one program; handlers call its methods."""

    def __init__(self, aligned: Aligned, starts: Starts | None = None) -> None:
        self.aligned = aligned
        self.starts = starts or {}
        self.unit = aligned.sizes.unit
        self.values: list[Value] = []
        self.of: dict[fx.Node, Result] = {}
        self.irregular: list[tuple[Op, float]] = []
        self.doubtful = False  # whether there is a constant that is near a power of width, and none exactly
        self.masks: dict[Value, tuple[Any, Any]] = {}  # dropout masks, with their share of ones at both widths
        self.pieces = Pieces()
        self.odd_backward: list[Op] = []  # custom functions whose backward is no power of width times the derivative
        self._leaves: dict[Value, tuple[frozenset[str], bool]] = {}
        self._odd_data: dict[Op, float] = {}  # constant tensors that follow no power; it matters where they multiply

    # -- making values -------------------------------------------------------------------------------------------

    def make(
        self, kind: Kind, args: tuple[Value, ...], op: Op, dims: tuple[float, ...] | None = None, **kw: Any
    ) -> Value:
        """Append a value; a value made of parameters alone stays one through views, scales, joins and products."""
        weight = bool(args) and MEANINGS[kind].is_weight
        infinite = sum(e > 0 for e in (op.dims if dims is None else dims))
        weight = weight and (kind != "act" or infinite > 1)  # a vector's function acts as a bias or a gain does
        weight = weight and all(a.weight or a.kind == "data" for a in args) and any(a.weight for a in args)
        if kind == "contract":  # a learned vector times a matrix is an activation, a product of matrices is a matrix
            weight = weight and all(a.weight for a in args) and infinite > 1
        weight = (weight and not op.narrow.meta["data"]) or kind == "param"
        value = Value(kind, args, op.dims if dims is None else dims, op, len(self.values), weight=weight, **kw)
        if "signed" not in kw and MEANINGS[kind].keeps_signs:
            value.signed = any(a.signed for a in args) if args else True
        self.values.append(value)
        return value

    def data(self, op: Op, node: fx.Node | None = None) -> Value:
        """A value nothing trainable flows into, with the exponent of its rms."""
        raw = exponent_of(*op.rms(), self.unit)
        if raw is not None and math.isfinite(raw) and abs(raw - round(raw * 4) / 4) < EXACT:
            return self.make("data", (), op, c=round(raw * 4) / 4)
        if raw is not None and math.isfinite(raw) and math.prod(op.shape) == 1 and not op.narrow.meta["data"]:
            return self._one_number(op, raw)
        c = 0.0 if raw is None else snap(raw, 0.5, SNAP_TENSOR, self.aligned.sizes.units)
        if raw is not None and c not in (0.0, ZERO) and (c is None or abs(raw - c) > SNAP_ADDED):
            c = self._settled(raw, c, self._later(op))
            if c is None:
                c = self._odd_data[op] = raw
        return self.make("data", (), op, c=c or 0.0)

    def _later(self, op: Op) -> float | None:
        """The exponent of a constant between the second probe and a third one, where there is one."""
        third = self.aligned.third
        node = third.by_node.get(op.narrow) if third is not None else None
        if third is None or node is None or op.wide is None:
            return None
        return exponent_of(op.wide.meta.get("rms"), node.meta.get("rms"), third.unit)

    @staticmethod
    def _settled(raw: float, c: float | None, later: float | None) -> float | None:
        """A constant's exponent where two probes leave it in doubt, by the slope between the second and a third.

        A slope that falls off towards zero is that of a constant with a limit (slopes of ALiBi over more heads); one
        that closes in on a power has that power.
        """
        if later is None:
            return None
        if abs(later) <= CONVERGES * abs(raw):
            return 0.0
        return c if c is not None and abs(later - c) <= CONVERGES * abs(raw - c) else None

    def unknown(self, op: Op, args: tuple[Value, ...], note: str, *, open: bool = False) -> Value:
        return self.make("unknown", args, op, note=note, open=open)

    def alone(self, op: Op) -> str:
        """Why an operation that one probe runs alone, or that reads the result of one, has no exponent; else ""."""
        why = self.aligned.alone
        read = op.wide.all_input_nodes if op.wide is not None else ()
        return why.get(op.narrow, "") or next((why[node] for node in read if node in why), "")

    # -- reading arguments ---------------------------------------------------------------------------------------

    def arg(self, op: Op, index: int, name: str = "") -> Any:
        """Argument `index` (or keyword `name`): a Value, a Number, a list of Values, or a literal."""
        narrow, wide, third = (self._raw(node, index, name) for node in self._probes(op))
        return self._read(narrow, wide, third, op)

    def _probes(self, op: Op) -> tuple[fx.Node, fx.Node, fx.Node | None]:
        """An operation at both probes, and at a third where there is one."""
        third = self.aligned.third
        wide = op.wide if op.wide is not None else op.narrow
        return op.narrow, wide, third.by_node.get(op.narrow) if third is not None and op.wide is not None else None

    @staticmethod
    def _raw(node: fx.Node | None, index: int, name: str) -> Any:
        if node is None:
            return None
        if 0 <= index < len(node.args):
            return node.args[index]
        return node.kwargs.get(name) if name else None

    def _read(self, narrow: Any, wide: Any, third: Any, op: Op) -> Any:
        if isinstance(narrow, fx.Node):
            result = self.of[narrow]
            return result[0] if isinstance(result, tuple) else result
        if isinstance(narrow, bool) or narrow is None:
            return narrow
        if isinstance(narrow, (int, float)):
            numbers = [float(each) for each in (narrow, wide, third) if isinstance(each, (int, float))]
            return self._number(numbers, op)
        if isinstance(narrow, complex):
            return Number(abs(narrow), abs(narrow), 0.0)
        if isinstance(narrow, (list, tuple)) and any(isinstance(item, fx.Node) for item in narrow):
            return [self._read(item, item, None, op) if isinstance(item, fx.Node) else None for item in narrow]
        return narrow

    def _number(self, numbers: Sequence[float], op: Op) -> Number:
        """numbers: at the first probe, and at the second and a third where they are known."""
        narrow, wide = numbers[0], numbers[min(1, len(numbers) - 1)]
        raw = exponent_of(narrow, wide, self.unit)
        if raw is None:
            return Number(narrow, wide, 0.0)
        snapped = self._power_of(numbers, raw)
        if snapped is None or math.isnan(snapped):
            self.irregular.append((op, raw))
            snapped = round(raw * 4) / 4 if snapped is None else 0.0
        return Number(narrow, wide, snapped)

    def _power_of(self, numbers: Sequence[float], raw: float) -> float | None:
        """The exponent of an exact number, of slope `raw` between the first two probes; None where there is none, NaN
        of a logarithm, which any power outgrows.

        numbers: at the first two probes, and at a third where it is known. One that is near a power of width and not
        exactly one, or near none, is looked at there.
        """
        if math.isinf(raw):
            return raw
        snapped = snap(raw, 0.25, SNAP_SCALAR, self.aligned.sizes.units)
        third = self.aligned.third
        if snapped is not None and (snapped == 0 or abs(raw - snapped) <= EXACT):
            return snapped
        if third is None or len(numbers) < 3:
            self.doubtful = True
            return snapped
        later = exponent_of(numbers[1], numbers[2], third.unit)
        known = of_sum(numbers, (self.unit, third.unit))
        if known is not None:
            return known
        if snapped is not None:
            return snapped
        if later is not None and abs(later - raw) < SAME:
            return simple(raw)  # a power, whichever
        return self._settled(raw, round(raw * 4) / 4, later)

    def _one_number(self, op: Op, raw: float) -> Value:
        """A constant tensor of one entry: a number like one in the code; it matters where it multiplies."""
        third = self.aligned.third
        further = third.by_node.get(op.narrow) if third is not None else None
        sizes = [*op.rms(), None if further is None else further.meta.get("rms")]
        c = self._power_of([abs(each) for each in sizes if each is not None], raw)
        if c is None or math.isnan(c):
            self._odd_data[op] = raw
            c = raw if c is None else 0.0
        return self.make("data", (), op, c=c)

    def literal(self, op: Op, index: int, name: str = "") -> tuple[Any, Any]:
        """A literal argument as it stands at both widths."""
        narrow = self._raw(op.narrow, index, name)
        return narrow, self._raw(op.wide, index, name) if op.wide is not None else narrow

    # -- small steps that handlers share ---------------------------------------------------------------------------

    def scale(self, x: Value, c: float, op: Op, dims: tuple[float, ...] | None = None) -> Value:
        return self.make("scale", (x,), op, dims if dims is not None else x.dims, c=c) if c != 0 else x

    def view(self, x: Value, op: Op) -> Value:
        whole = self.make("view", (x,), op)
        piece = self.pieces.move(op, whole)
        if piece is None:
            return whole
        self.values.pop()
        return self.make("view", (piece,), op)

    def join(self, xs: list[Value], op: Op, dims: tuple[float, ...] | None = None) -> Value:
        """A sum or concatenation; zeros add nothing, nor does the mean of a parameter to the parameter."""
        kept = [x for x in xs if not (x.kind == "data" and x.c == ZERO)]
        kept = [x for x in kept if not any(self.is_statistic(x, other) for other in kept if other is not x)] or kept
        kept = [x for x in kept if len(kept) == 1 or not self.drifts(x, op)]
        kept = self._collected(kept)
        if all(x.weight for x in kept):  # a long sum of parameters is one sum, not one inside the other
            kept = [part for x in kept for part in (x.args if x.kind == "join" and x.dims == op.dims else (x,))]
        if not kept:
            return self.make("data", (), op, dims, c=ZERO)
        return self.make("join", tuple(kept), op, dims) if len(kept) > 1 else self.make("view", (kept[0],), op, dims)

    def _collected(self, terms: list[Value]) -> list[Value]:
        """x + c·(y − x) as the sum of x and c·y: of one value in several terms, the largest multiple counts.

        A sum is opened only where a value in it stands in another term too, at another size.
        """
        if not any(term.kind == "scale" and term.c not in (0.0, ZERO) for term in terms):
            return terms
        parts = [list(_summands(term)) for term in terms]
        largest: dict[Value, float] = {}
        for root, c in (part for each in parts for part in each):
            largest[root] = max(c, largest.get(root, ZERO))
        out: list[Value] = []
        for term, own in zip(terms, parts, strict=True):
            if len(own) > 1 and any(c < largest[root] for root, c in own):
                out += [self.scale(root, c, term.op) for root, c in own if c == largest[root]]
            elif len(own) > 1 or len(terms) == 1 or own[0][1] == largest[own[0][0]]:
                out.append(term)
        return list(dict.fromkeys(out))

    def drifts(self, x: Value, op: Op) -> bool:
        """Whether a constant changes with width, and not like a power of it: noted; a sum leaves it out."""
        if x.op not in self._odd_data:
            return False
        self.irregular.append((op, self._odd_data[x.op]))
        return True

    def mul(self, x: Value, y: Value, op: Op, dims: tuple[float, ...] | None = None) -> Value:
        if y.kind == "data" or x.kind == "data":
            x, y = (y, x) if x.kind == "data" else (x, y)
            self.drifts(y, op)
            value = self.make("scale", (x,), op, dims, c=y.c, factor=y.op.rms()[0] or 1.0)
            value.signed = x.signed or y.signed
            return value
        if self.is_statistic(y, x) or self.is_statistic(x, y):
            x, y = (x, y) if self.is_statistic(y, x) else (y, x)
            c, factor = self.statistic(y)
            return self.make("scale", (x,), op, dims, c=c, factor=factor)
        normalised = self._over_its_norm(x, y, op) or self._over_its_norm(y, x, op)
        if normalised is not None:
            return self.make("mul", normalised, op, dims, signed=True)
        if x is y:
            return self.make("power", (x,), op, dims, c=2.0, signed=False)
        return self.make("mul", (x, y), op, dims, signed=x.signed or y.signed)

    def _over_its_norm(self, v: Value, share: Value, op: Op) -> tuple[Value, Value] | None:
        """v · (g / ‖v‖), as torch writes weight norm over a whole weight: the direction of v, and g."""
        if not (v.weight and share.weight and share.kind == "mul"):
            return None
        for g, inverse in (share.args, share.args[::-1]):
            size = inverse.args[0] if inverse.kind == "power" and inverse.c == -1 else None
            if size is not None and self.is_statistic(size, v):
                c, factor = self.statistic(size)
                return self.make("scale", (v,), op, v.dims, c=-c, factor=1 / factor), self.norm_of(v, g, op)
        return None

    def norm_of(self, v: Value, g: Value, op: Op) -> Value:
        """g where it stands for the norm of v, or of rows of v.

        Norms of the rows of a hidden weight, over its inputs, are of size 1. That of all entries is larger by the root
        of the number of outputs, and so is the g that is right.
        """
        natural = (v.size - g.size - sum(v.dims[1:])) / 2
        return self.make("scale", (g,), op, g.dims, e=natural) if natural else g

    # -- statistics of parameters --------------------------------------------------------------------------------

    def is_statistic(self, y: Value, x: Value) -> bool:
        """Whether y sums up the parameters that x is made of, as a norm does: a constant of the step, next to x."""
        if not x.weight or y.op.narrow.meta["data"] or self._recorded(y).op.rms()[0] is None:
            return False
        below, summed = self._below(y)
        return summed and bool(below) and below <= self._below(x)[0]

    def statistic(self, y: Value) -> tuple[float, float]:
        """The exponent of a statistic at initialization, and its size at the first probe."""
        recorded = self._recorded(y)
        raw = exponent_of(*recorded.op.rms(), self.unit)
        derived = start_of(y, self.starts)
        c = derived if derived is not None else 0.0 if raw is None else self.snapped(raw)
        return c, recorded.op.rms()[0] or 1.0

    @staticmethod
    def _recorded(y: Value) -> Value:
        """What a value is a view of, where views of it have no size of their own."""
        while y.kind == "view" and y.args and y.op.rms()[0] is None:
            y = y.args[0]
        return y

    def snapped(self, raw: float) -> float:
        """A measured exponent as a multiple of 1/2 where it is near one, else of 1/4."""
        near = snap(raw, 0.5, SNAP_TENSOR, self.aligned.sizes.units)
        return round(raw * 4) / 4 if near is None else near

    def backward_exponent(self, op: Op) -> float:
        """How a custom function's gradient departs from the derivative of its forward; noted where not a power."""
        raw = exponent_of(op.narrow.meta["backward"], op.wide.meta.get("backward") if op.wide else None, self.unit)
        found = None if raw is None else snap(raw, 0.25, SNAP_TENSOR, self.aligned.sizes.units)
        if found is None or found == ZERO:
            self.odd_backward.append(op)
            return 0.0
        return found

    def _below(self, x: Value) -> tuple[frozenset[str], bool]:
        """The parameters a value is computed from, and whether entries were summed on the way."""
        if x not in self._leaves:
            parts = [self._below(a) for a in x.args]
            names = frozenset({x.name} if x.kind == "param" else ()).union(*(names for names, _ in parts))
            summed = MEANINGS[x.kind].sums or x.note == SUMMED or any(was for _, was in parts)
            self._leaves[x] = (names, summed)
        return self._leaves[x]

    def power(self, x: Value, p: float, op: Op, signed: bool = False) -> Value:
        return self.make("power", (x,), op, c=p, signed=signed)

    def contract(
        self, x: Value, y: Value, e: float, out: tuple[float, float], op: Op, dims: tuple[float, ...] | None = None
    ) -> Value:
        """Σ x·y over a dim of exponent e; `out` are the exponents of the dims that only x / only y brings along."""
        if any(v.kind == "data" and v.c == ZERO for v in (x, y)):
            return self.make("data", (), op, dims, c=ZERO)
        for v in (x, y):
            self.drifts(v, op)
        return self.make("contract", (x, y), op, dims, e=e, e_out=out)

    def act(self, x: Value, low: float, high: float, op: Op, signed: bool = True) -> Value:
        """A nonlinearity with its own scale: degree `low` near 0 and `high` far out."""
        value = self.make("act", (x,), op, c=high, low=low, signed=signed)
        if value.weight and low == 1 and signed and self._keeps_size(x, op):
            self.values.pop()
            return self.make("view", (x,), op)  # an odd function of a matrix: entries as random and as large as before
        return value

    def _keeps_size(self, x: Value, op: Op) -> bool:
        before, after = size_exponent(x, self.unit), exponent_of(*op.rms(), self.unit)
        return before is not None and after is not None and abs(before - after) < SNAP_TENSOR

    def bias(self, x: Value, bias: Any, op: Op) -> Value:
        return self.join([x, bias], op, x.dims) if isinstance(bias, Value) else x


def _summands(x: Value, c: float = 0.0) -> Iterator[tuple[Value, float]]:
    """What a value is the sum of, each with the exponent of the constants on it."""
    waiting = [(x, c)]
    while waiting:
        x, c = waiting.pop()
        if x.kind == "scale" and x.c != ZERO and not x.weight and x.args[0].kind != "data" and x.args[0].dims == x.dims:
            waiting.append((x.args[0], c + x.c))
        elif x.kind == "join" and not x.weight and all(a.dims == x.dims for a in x.args):
            waiting.extend((a, c) for a in reversed(x.args))
        else:
            yield x, c


def size_exponent(x: Value, unit: float) -> float | None:
    """Raw exponent of a recorded value's size, seen through views; None where it was not recorded."""
    while x.kind == "view" and x.op.rms()[0] is None:
        x = x.args[0]
    return exponent_of(*x.op.rms(), unit)
