"""Lower recorded operations to the small language of `values`, one by one, by what each of them is declared as."""

from __future__ import annotations

import operator
from dataclasses import dataclass, field

from torch import fx

from .. import ops
from ..findings.exponents import snap
from ..thresholds import SNAP_TENSOR
from ..trace.align import Aligned, Op
from . import lowering  # noqa: F401  (fills LOWERINGS)
from .builder import LOWERINGS, Builder, Result, size_exponent
from .starts import Starts, start_of
from .stream import Stream
from .values import ZERO, Value


@dataclass(frozen=True)
class Program:
    """A lowered recording: its values in order, and the value of every recorded node."""

    values: tuple[Value, ...]
    of: dict[fx.Node, Result]
    aligned: Aligned
    irregular: tuple[tuple[Op, float], ...]  # constants that follow no simple power of width, with their raw exponent
    odd_backward: tuple[Op, ...] = ()  # custom functions whose gradient could not be compared with their forward
    doubtful: bool = False  # whether a third probe may show that a constant is no power of width, or that one is
    starts: Starts = field(default_factory=dict)  # exponents of the inits, by parameter
    inside: frozenset[Value] = frozenset()  # values inside the branches of a stack of blocks, over depth
    stack: Stream | None = None  # where that was read

    def exponent(self, x: Value) -> float | None:
        """Exponent of the size at initialization of a value made of parameters alone, a multiple of 1/4 if measured."""
        derived, sizes = start_of(x, self.starts), self.aligned.sizes
        if derived is not None:
            return derived
        raw = size_exponent(x, sizes.unit)
        return None if raw is None else snap(raw, 0.25, SNAP_TENSOR, sizes.units)

    def gradient_scales(self) -> dict[str, float]:
        """Exponent that custom functions put on each parameter's gradient, on the way that keeps most of it."""
        scales: dict[Value, float] = dict.fromkeys(self._ends(), 0.0)
        for value in reversed(self.values):
            if value in scales:
                for arg in value.args:
                    scales[arg] = max(scales.get(arg, ZERO), scales[value] + value.back)
        return {value.name: scale for value, scale in scales.items() if value.kind == "param"}

    def _ends(self) -> list[Value]:
        ends = (*self.aligned.narrow.boundary, self.aligned.narrow.loss)
        return [value for node in ends if node is not None and (value := self.value_of(node)) is not None]

    def value_of(self, node: fx.Node) -> Value | None:
        """What a recorded operation returns, the first where it returns several."""
        return _first(self.of.get(node))

    def reaching_outputs(self) -> set[Value]:
        """The values that the loss or an output of the model is computed from."""
        stack = self._ends()
        reached: set[Value] = set()
        while stack:
            value = stack.pop()
            if value not in reached:
                reached.add(value)
                stack.extend(value.args)
        return reached


def lower(aligned: Aligned, starts: Starts | None = None) -> Program:
    """Lower every operation of an aligned recording; `starts` are the exponents of the inits, by parameter."""
    builder = Builder(aligned, starts)
    for op in aligned.ops:
        builder.of[op.narrow] = _lower_op(builder, op)
    unread = builder.pieces.unread(builder.values, _returned(builder, aligned))
    values = tuple(value for value in builder.values if value not in unread)
    return Program(values, builder.of, aligned, tuple(builder.irregular), tuple(builder.odd_backward),
                   builder.doubtful or bool(builder.irregular),
                   builder.starts)  # fmt: skip


def _returned(b: Builder, aligned: Aligned) -> set[Value]:
    """What the model or one of its modules returns, and the loss."""
    recording = aligned.narrow
    nodes = [*recording.boundary, *(node for call in recording.calls for node in call.outputs)]
    nodes += [recording.loss] if recording.loss is not None else []
    return {value for node in nodes if (value := _first(b.of.get(node))) is not None}


def _lower_op(b: Builder, op: Op) -> Result:
    node = op.narrow
    if node.op == "placeholder":
        if "param" in node.meta:
            return b.make("param", (), op, name=node.meta["param"], signed=True)
        return b.data(op)
    if not node.meta["weight"]:
        return b.data(op)
    if reason := b.alone(op):
        args = tuple(v for v in (_first(b.of[n]) for n in node.all_input_nodes) if v is not None)
        return b.unknown(op, args, reason, open=True)
    if node.target is operator.getitem:
        return _getitem(b, op)
    if op.dtype is not None and not (op.dtype.is_floating_point or op.dtype.is_complex):
        return b.make("data", (), op, c=0.0)  # comparisons and indices carry no gradient
    declared = ops.of(op.name)
    if declared is not None and type(declared) in LOWERINGS:
        return LOWERINGS[type(declared)](b, op, declared)
    args = tuple(v for v in (_first(b.of[n]) for n in node.all_input_nodes) if v is not None)
    if not any(a.kind != "data" for a in args):
        return b.make("data", (), op, c=0.0)
    return b.unknown(op, args, f"the operation {op.name} is not understood")


def _first(result: Result | None) -> Value | None:
    return next(iter(result), None) if isinstance(result, tuple) else result


def _getitem(b: Builder, op: Op) -> Result:
    source, index = op.narrow.args[0], op.narrow.args[1]
    assert isinstance(source, fx.Node)
    assert isinstance(index, int)
    if op.dtype is not None and not (op.dtype.is_floating_point or op.dtype.is_complex):
        return b.make("data", (), op, c=0.0)
    result = b.of[source]
    if not isinstance(result, tuple):
        return b.view(result, op)
    piece = result[index] if index < len(result) else None
    if piece is None:
        return b.make("data", (), op, c=0.0)
    if piece.dims != op.dims:
        piece.dims = op.dims if piece.op is not op else piece.dims
    return piece
