"""What an operand is made of, seen through views and constants; what dims a product sums; the role of a parameter."""

from __future__ import annotations

import operator
from collections.abc import Iterable

import torch

from .. import ops
from ..findings.discrepancy import Role
from ..ops.moves import Moves
from ..ops.products import Contracts
from .values import DIAGONAL, ZERO, Value


def axis_at(v: Value, weight: Value) -> int | None:
    """Which of the last two dims of the matrix a plain product sums over."""
    return (0 if v.args[1] is weight else 1) if isinstance(ops.of(v.op.name), Contracts) else None


def axis_below(x: Value, axis: int | None) -> int | None:
    """The same dim, seen before a view: found by moving the numbers of rows; None where rows and columns mix."""
    if axis is None or x.kind != "view" or x.op.index == x.args[0].op.index:
        return axis
    op, declared, shape = x.op.narrow, ops.of(x.op.name), x.args[0].op.shape
    if op.target is operator.getitem:  # one of several outputs: what they were taken from goes by the first
        return axis
    exact = isinstance(declared, Moves) and declared.exact
    if x.op.shape == shape and not exact:
        return axis
    if not exact or len(shape) < 2 or len(x.op.shape) < 2:
        return None
    rows = torch.arange(shape[-2])[:, None].expand(shape).contiguous()
    try:
        moved = op.target(rows, *op.args[1:], **op.kwargs)  # type: ignore[operator]
    except RuntimeError:  # a view that only the strides of what it was made from allow
        return None
    moved = moved[0] if isinstance(moved, (list, tuple)) else moved
    along = [bool((moved == moved.narrow(d, 0, 1)).all()) for d in (-2, -1)]  # whether the row stays the same
    return None if along[0] == along[1] else axis if along[1] else 1 - axis


def is_average(v: Value) -> bool:
    """Whether a contraction weighs its terms by a softmax over the very dim it sums: n terms, weights of 1/n."""
    weights = [x for x in map(through_views, v.args) if x.kind == "softmax"]
    return v.e > 0 and any(abs(x.e - v.e) < 1e-6 for x in weights)


def through_views(x: Value) -> Value:
    while x.kind in ("view", "scale") and x.args:
        x = x.args[0]
    return x


def diagonal_of(x: Value) -> Value | None:
    """What stands on the diagonal of a matrix that is zero beside it, transposed or not; None for any other."""
    while x.kind == "view" and x.note != DIAGONAL and len(x.dims) == len(x.args[0].dims):
        x = x.args[0]
    return x.args[0] if x.note == DIAGONAL else None


def made_of_squares(x: Value) -> bool:
    """Whether x is a square or a higher power of activations, or a sum of such."""
    x = through_views(x)
    if x.kind == "join":
        return all(made_of_squares(arg) for arg in x.args)
    return x.kind == "power" and x.c >= 2 and not x.weight


def parameters_in(x: Value) -> Iterable[str]:
    """Names of the parameters an expression is made of."""
    if x.kind == "param":
        yield x.name
    for arg in x.args:
        if arg.weight:
            yield from parameters_in(arg)


def is_zero(x: Value) -> bool:
    return x.kind == "data" and x.c == ZERO


def is_fixed_matrix(x: Value) -> bool:
    """A constant with two dims that grow: beside a weight, a start that says nothing of its change."""
    return x.kind == "data" and sum(e > 0 for e in x.dims) > 1


def is_positive_function(x: Value) -> bool:
    """Whether a weight is a positive function of another, moved and multiplied by constants."""
    while x.kind in ("view", "scale") and not x.signed:
        x = x.args[0]
    return x.kind in ("act", "power") and not x.signed


def has_function(x: Value) -> bool:
    """Whether a function with a scale of its own stands in an expression of parameters."""
    return x.kind == "act" or any(has_function(a) for a in x.args if a.weight)


def leaf(x: Value) -> Value:
    """The parameter that an expression of parameters comes from."""
    while x.kind != "param" and x.args:
        x = x.args[0]
    return x


def leaf_rank(x: Value) -> int:
    """Number of dims the parameter itself has."""
    return len(leaf(x).dims)


def before_scales(x: Value) -> Value:
    """What a constant multiplies: unless it stands beside the gain that it belongs to, it belongs to what reads it."""
    while x.kind in ("scale", "view") and not x.args[0].weight and x.args[0].kind != "data":
        if x.kind == "scale" and gain_in(x.op.module, x.args[0]):
            break
        x = x.args[0]
    return x


def gain_in(module: str, x: Value) -> bool:
    """Whether x was just multiplied by a parameter of this very module."""
    while x.kind in ("scale", "view") and x.args:
        x = x.args[0]
    gains = [name for a in x.args if a.weight for name in parameters_in(a)] if x.kind == "mul" else []
    return any(name.rpartition(".")[0] == module for name in gains)


def matrix_role(e_in: float, e_out: float) -> Role:
    if e_in > 0:
        return "hidden" if e_out > 0 else "output"
    return "input" if e_out > 0 else "scalar"


def source_role(x: Value, at: Value) -> Role:
    """A bare parameter, by what reads it: a table goes in as it is; what a function reads first acts as a bias does."""
    if x.size == 0:
        return "scalar"
    return "positional" if leaf_rank(x) > 1 and at.kind not in ("act", "power") else "bias"
