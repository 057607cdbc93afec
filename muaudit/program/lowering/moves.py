"""Lower what moves, repeats, selects or looks up entries: views."""

from __future__ import annotations

from ...ops.moves import Accumulates, Diagonal, EntersFunction, Indexes, Looks, Moves, Parts, Samples
from ...trace.align import Op
from ..builder import Builder, Result, lowers
from ..values import DIAGONAL, Value


@lowers(Moves)
def _view(b: Builder, op: Op, what: Moves) -> Result:
    x = b.arg(op, 0)
    if not isinstance(x, Value):
        return b.unknown(op, (), f"{op.name} without a tensor argument")
    if x.kind == "data":
        return b.make("data", (), op, c=x.c)
    return b.view(x, op)


@lowers(Parts)
def _split(b: Builder, op: Op, what: Parts) -> Result:
    # one view per piece is made by the getitem that follows; here the source stands for all of them
    return b.view(b.arg(op, 0), op)


@lowers(EntersFunction)
def _function_input(b: Builder, op: Op, what: EntersFunction) -> Result:
    """Into a custom function: the same entries forwards; backwards, the ratio of its gradient to the derivative."""
    x = b.arg(op, 0)
    if x.kind == "data":
        return b.make("data", (), op, c=x.c)
    value = b.view(x, op)
    value.back = b.backward_exponent(op)
    return value


@lowers(Diagonal)
def _diagonal(b: Builder, op: Op, what: Diagonal) -> Result:
    return b.make("view", (b.arg(op, 0),), op, note=DIAGONAL)


@lowers(Samples)
def _sample(b: Builder, op: Op, what: Samples) -> Result:
    """Each is a mean of a few entries; how they are weighed is a function of the places, of the scale of a step."""
    x, places = b.arg(op, 0), b.arg(op, 1)
    return b.view(x, op) if places.kind == "data" else b.mul(x, b.act(places, 0.0, 0.0, op, signed=False), op)


@lowers(Accumulates)
def _cumulative(b: Builder, op: Op, what: Accumulates) -> Result:
    """Sums or extremes along positions; along a growing dim the entries would grow with their place."""
    x, dim = b.arg(op, 0), op.narrow.args[1] if len(op.narrow.args) > 1 else op.narrow.kwargs.get("dim", 0)
    if isinstance(dim, int) and x.dims and x.dims[dim] > 0:
        return b.unknown(op, (x,), f"{op.name} along a dim that grows with width")
    return b.view(x, op)


@lowers(Indexes)
def _index(b: Builder, op: Op, what: Indexes) -> Result:
    """x[indices]: rows of a table when x is a parameter and an index is data, else a view."""
    x = b.arg(op, 0)
    indices = op.narrow.args[1] if len(op.narrow.args) > 1 else ()
    from_data = any(getattr(n, "meta", {}).get("data") for n in indices if n is not None)  # type: ignore[union-attr]
    return b.make("lookup", (x,), op) if x.weight and from_data else b.view(x, op)


@lowers(Looks)
def _lookup(b: Builder, op: Op, what: Looks) -> Result:
    table = b.arg(op, 0)
    if what.outputs > 1:
        return (b.make("lookup", (table,), op), *(None for _ in range(what.outputs - 1)))
    return b.make("lookup", (table,), op) if table.weight else b.view(table, op)
