"""Lower functions of whole matrices."""

from __future__ import annotations

from ...ops.whole_matrices import Exponential, OfMatrix, Solves
from ...trace.align import Op
from ..builder import Builder, Result, lowers
from ..operands import is_fixed_matrix
from ..values import Value


def _not_known(b: Builder, op: Op, *args: Value) -> Value:
    return b.unknown(op, args, f"{op.name} of a matrix of two dims that grow")


def _grows(a: Value) -> float:
    """Exponent of the number of rows, or of columns, where not both grow; of both together where they do."""
    return sum(e for e in a.dims[-2:] if e > 0)


def _square(a: Value) -> bool:
    return len(a.dims) > 1 and min(a.dims[-2:]) > 0


@lowers(OfMatrix)
def _of_matrix(b: Builder, op: Op, what: OfMatrix) -> Result:
    """Columns of length 1 with n entries have entries n^-1/2; lengths are roots of sums of n squares."""
    a = b.arg(op, 0)
    rows = op.narrow.args[0].meta["shape"][-1] if what.per_row else 1  # type: ignore[union-attr]
    if _square(a) or (_grows(a) and not what.vectors):
        out: list[Value | None] = [None if p is None else _not_known(b, op, a) for p in what.degrees]
    else:
        out = [None if p is None else _output(b, op, a, what, i, p * rows) for i, p in enumerate(what.degrees)]
    return tuple(out) if len(out) > 1 else out[0]  # type: ignore[return-value]


def _output(b: Builder, op: Op, a: Value, what: OfMatrix, index: int, degree: float) -> Value:
    e = _grows(a)
    if e and index in what.values:
        total = b.make("reduce", (b.make("power", (a,), op, a.dims, c=2.0, signed=False),), op, e=e, signed=False)
        return b.power(total, degree / 2, op, signed=True)
    made = b.make("power", (a,), op, a.dims, c=degree, signed=True)
    tall = a.dims[-2] > 0
    long = e if index in what.vectors and tall == (index == what.vectors[0]) else 0.0
    return b.scale(made, -long / 2, op, a.dims) if long else made


@lowers(Exponential)
def _exponential(b: Builder, op: Op, what: Exponential) -> Result:
    """Of a weight of operator norm 1 it is that weight and the identity, up to terms as large as it."""
    a = b.arg(op, 0)
    if not _grows(a):
        return b.act(a, 0.0, 0.0, op)
    return b.make("view", (a,), op) if a.weight else _not_known(b, op, a)


@lowers(Solves)
def _solve(b: Builder, op: Op, what: Solves) -> Result:
    a, x = b.arg(op, 0), b.arg(op, 1)
    if _near_identity(a) and _near_identity(x):  # (1 - A)⁻¹·(1 + B) = 1 + A + B, and smaller terms
        solved = b.join([a, x], op, op.dims)
    elif _grows(a):
        solved = _not_known(b, op, *(v for v in (a, x) if v.kind != "data"))
    else:
        inverse = b.make("power", (a,), op, a.dims, c=-1.0, signed=True)
        solved = b.contract(inverse, x, 0.0, (a.dims[-2], x.dims[-1]), op, x.dims)
    return (solved, *(None for _ in range(what.outputs - 1)))


def _near_identity(a: Value) -> bool:
    """Whether it is a weight of two dims that grow, added to a constant matrix."""
    return a.weight and _square(a) and a.kind == "join" and any(is_fixed_matrix(arg) for arg in a.args)
