"""Lower functions of single entries."""

from __future__ import annotations

from ...ops.functions import Derivative, Function, Gates, Homogeneous, LeaksByWeight, Logarithm, OfBoth, Raises
from ...trace.align import Op
from ..builder import Builder, Number, Result, lowers
from ..values import Value


@lowers(Function)
def _function(b: Builder, op: Op, what: Function) -> Result:
    return b.act(b.arg(op, 0), what.low, what.high, op, what.signed)


@lowers(Homogeneous)
def _homogeneous(b: Builder, op: Op, what: Homogeneous) -> Result:
    return b.power(b.arg(op, 0), what.degree, op, what.signed)


@lowers(Logarithm)
def _logarithm(b: Builder, op: Op, what: Logarithm) -> Result:
    x = b.arg(op, 0)
    return b.act(x, 0.0, 0.0, op, True) if x.weight else b.power(x, 0.0, op, True)


@lowers(OfBoth)
def _of_both(b: Builder, op: Op, what: OfBoth) -> Result:
    of, both = what.function, b.join([b.arg(op, 0), b.arg(op, 1)], op, op.dims)
    if isinstance(of, Homogeneous):
        return b.power(both, of.degree, op, of.signed)
    return b.act(both, of.low, of.high, op, of.signed)


@lowers(Derivative)
def _derivative(b: Builder, op: Op, what: Derivative) -> Result:
    gradient, x = b.arg(op, 0), b.arg(op, 1)
    slope = b.power(x, 0.0, op, False) if what.homogeneous else b.act(x, 0.0, 0.0, op, signed=False)
    return b.mul(gradient, slope, op, op.dims)


@lowers(Raises)
def _pow(b: Builder, op: Op, what: Raises) -> Result:
    x, p = b.arg(op, 0), b.arg(op, 1)
    if isinstance(x, Value) and isinstance(p, Number):
        return b.power(x, p.narrow, op, signed=x.signed and p.narrow % 2 == 1)
    operands = [v for v in (x, p) if isinstance(v, Value) and v.kind != "data"]
    powers = [b.act(v, 0.0, 0.0, op, False) for v in operands]  # of size 1 where base and exponent are
    return b.join(powers, op, op.dims) if powers else b.make("data", (), op, c=0.0)


@lowers(Gates)
def _glu(b: Builder, op: Op, what: Gates) -> Result:
    """a · sigmoid(b) for the two halves of x."""
    x = b.arg(op, 0)
    gate = b.make("act", (b.make("view", (x,), op),), op, c=0.0, low=0.0, signed=False)
    return b.mul(b.make("view", (x,), op), gate, op, op.dims)


@lowers(LeaksByWeight)
def _prelu(b: Builder, op: Op, what: LeaksByWeight) -> Result:
    x, slope = b.arg(op, 0), b.arg(op, 1)
    return b.join([b.power(x, 1.0, op, True), b.mul(x, slope, op, op.dims)], op, op.dims)
