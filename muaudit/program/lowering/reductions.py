"""Lower reductions, normalisations, softmax and losses."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any, cast

from torch import fx

from ... import ops
from ...findings.exponents import exponent_of
from ...ops.products import Multiplies
from ...ops.reductions import Loss, MeasuresNorm, Normalises, Softmax, Spreads, Sums
from ...trace.align import Op
from ..builder import Builder, Result, lowers
from ..values import SUMMED, Value


# reductions
def _axes(op: Op, x: Value, position: int) -> tuple[int, ...]:
    """The dims that a reduction goes over, counted from the first."""
    dims = op.narrow.args[position] if len(op.narrow.args) > position else op.narrow.kwargs.get("dim")
    if dims is None or dims == []:
        return tuple(range(len(x.dims)))
    chosen: list[Any] = [dims] if isinstance(dims, int) else list(cast(Any, dims))
    return tuple(int(d) % max(1, len(x.dims)) for d in chosen)


def _reduced(b: Builder, op: Op, x: Value, position: int) -> float:
    return sum(x.dims[d] for d in _axes(op, x, position)) if x.dims else 0.0


def _reduce(b: Builder, x: Value, e: float, mean: bool, op: Op) -> Value:
    if e == 0:
        return b.make("view", (x,), op, note=SUMMED)
    return b.make("reduce", (x,), op, e=e, mean=mean, signed=x.signed)


def _sum_of_products(b: Builder, op: Op, x: Value, mean: bool) -> Value | None:
    """Σ x₀·x₁ over dims that both factors have: the contraction that einsum spells in one word.

    None where x is no product of two different values, times constants, or where one factor alone has a growing dim
    that is summed. Dims that both have and that stay are a batch. A constant is one number: what differs from entry to
    entry is a layer that reads the product.
    """
    inside = x.kind in ("scale", "view") and x.args[0].kind in ("mul", "scale", "view")
    if inside and x.args[0].op.shape == x.op.shape and sum(_varies(each) for each in x.op.narrow.args[:2]) < 2:
        inner = _sum_of_products(b, op, x.args[0], mean)
        if inner is not None:
            return b.make("scale", (inner,), op, inner.dims, c=x.c, factor=x.factor) if x.kind == "scale" else inner
    nodes = [node for node in x.op.narrow.args[:2] if isinstance(node, fx.Node)]
    factors = [b.of.get(node) for node in nodes]
    if ops.of(x.op.name) != Multiplies() or len(factors) < 2 or not _is_product_of(x, factors):
        return None
    one, other = cast("list[Value]", factors)
    axes, rank = _axes(op, x, 1), len(x.dims)
    shapes = [(1,) * (rank - len(n.meta["shape"])) + tuple(n.meta["shape"]) for n in nodes]
    both = [all(shape[d] > 1 for shape in shapes) for d in range(rank)]
    if not any(both[d] for d in axes) or any(x.dims[d] > 0 and not both[d] for d in axes):
        return None
    kept = [d for d in range(rank) if d not in axes]
    first, second = (sum((x.dims[d] for d in kept if shapes[1 - i][d] == 1), 0.0) for i in (0, 1))
    e, count = sum((x.dims[d] for d in axes), 0.0), math.prod(shapes[0][d] for d in axes)
    out = b.contract(one, other, e, (first, second), op, op.dims)
    return b.make("scale", (out,), op, op.dims, c=-e, factor=1 / count) if mean else out


def _varies(argument: Any) -> bool:
    """Whether an argument is a tensor of more than one entry."""
    return isinstance(argument, fx.Node) and math.prod(argument.meta.get("shape", ())) > 1


def _is_product_of(x: Value, factors: Sequence[Result | None]) -> bool:
    """Whether x is the plain product of these two, of which one may be data where the other is a weight."""
    one, other = factors
    if x.kind == "scale" and isinstance(one, Value) and isinstance(other, Value):
        return {one.kind == "data", other.kind == "data"} == {True, False} and (one.weight or other.weight)
    return x.kind == "mul" and not x.normalises and list(factors) == list(x.args)


@lowers(Sums)
def _sum(b: Builder, op: Op, what: Sums) -> Result:
    x = b.arg(op, 0)
    return _sum_of_products(b, op, x, what.mean) or _reduce(b, x, _reduced(b, op, x, 1), what.mean, op)


@lowers(Spreads)
def _spread(b: Builder, op: Op, what: Spreads) -> Result:
    """Mean square, or its root: positive, so the mean has the size of the entries."""
    x = b.arg(op, 0)
    square = b.make("power", (x,), op, x.dims, c=2.0, signed=False)
    spread = _reduce(b, square, _reduced(b, op, x, 1), True, op)
    spread = b.power(spread, 0.5, op) if what.root else spread
    return (spread, _reduce(b, x, _reduced(b, op, x, 1), True, op)) if what.with_mean else spread


@lowers(MeasuresNorm)
def _vector_norm(b: Builder, op: Op, what: MeasuresNorm) -> Result:
    """(Σ |x|^p)^(1/p), so entries^(1/p) times the size of an entry; the largest entry for p = ∞."""
    x, p = b.arg(op, 0), b.arg(op, 1, what.order)
    order = 2.0 if p is None else p.narrow
    if abs(order) == math.inf:
        return b.view(x, op)
    if order <= 0:
        return b.unknown(op, (x,), f"a norm of order {order:g}")
    raised = b.make("power", (x,), op, x.dims, c=order, signed=False)
    total = _reduce(b, raised, _reduced(b, op, x, 2), False, op)
    return b.power(total, 1 / order, op)


# normalisation
@lowers(Normalises)
def _normalise(b: Builder, op: Op, what: Normalises) -> Result:
    """Statistics over the batch and over positions are finite, one per channel; of a weight they are a constant."""
    x = b.arg(op, 0)
    if what.inverse is not None and x.weight and not op.narrow.meta["data"]:
        out = _standardised(b, x, op, what)
    else:
        gain, bias = _affine(b, op, what)
        out = b.make("norm", (x,), op, x.dims, e=_normalised(x, op, what))
        out = b.mul(out, gain, op, x.dims) if isinstance(gain, Value) else out
        out = b.bias(out, bias, op)
    return (out, *(None for _ in range(what.outputs - 1))) if what.outputs > 1 else out


def _affine(b: Builder, op: Op, what: Normalises) -> tuple[Any, Any]:
    """The gain and the bias."""
    return b.arg(op, what.gain), None if what.bias is None else b.arg(op, what.bias)


def _normalised(x: Value, op: Op, what: Normalises) -> float:
    """Exponent of the dims whose mean square is divided by."""
    if what.over == "last":
        return sum(x.dims[-len(op.narrow.args[1]) :])  # type: ignore[arg-type]
    return x.dims[1] if what.over == "channels" and len(x.dims) > 1 else 0.0


def _standardised(b: Builder, x: Value, op: Op, what: Normalises) -> Value:
    """A weight over the standard deviation of its rows, as measured (arXiv 1903.10520)."""
    inverse = next((n for n in op.narrow.users if n.target is operator.getitem and n.args[1] == what.inverse), None)
    measured = b.aligned.by_node[inverse].rms() if inverse is not None else (None, None)
    raw = exponent_of(*measured, b.unit)
    affine = [a for a in _affine(b, op, what) if isinstance(a, Value)]
    if raw is None or affine:
        return b.unknown(op, (x, *affine), "a standardised weight whose standard deviation was not recorded")
    return b.make("scale", (x,), op, x.dims, c=b.snapped(raw), factor=measured[0] or 1.0, note="standardised")


# softmax and losses
@lowers(Softmax)
def _softmax(b: Builder, op: Op, what: Softmax) -> Result:
    x = b.arg(op, 0)
    return b.make("softmax", (x,), op, signed=what.log, e=0.0 if what.log else _reduced(b, op, x, 1))


@lowers(Loss)
def _loss(b: Builder, op: Op, what: Loss) -> Result:
    inputs = [v for v in (b.arg(op, 0), b.arg(op, 1)) if isinstance(v, Value) and v.kind != "data"]
    value = b.make("loss", tuple(inputs), op, ())
    return (value, *(None for _ in range(what.outputs - 1))) if what.outputs > 1 else value
