"""Lower what adds, joins, chooses between and overwrites tensors: joins."""

from __future__ import annotations

from typing import Any

from ...ops.sums import (
    Adds,
    AddsProduct,
    Chooses,
    Clamps,
    Concatenates,
    Copies,
    Creates,
    Extremes,
    Interpolates,
    Masks,
    Writes,
    WrittenAlias,
)
from ...thresholds import NEGLIGIBLE, OUT_OF_REACH
from ...trace.align import Op
from ..builder import Builder, Number, Result, lowers
from ..values import ZERO, Value


@lowers(Adds)
def _add(b: Builder, op: Op, what: Adds) -> Result:
    """x + alpha·y, sizes exponent max(x, y); a tiny constant guards a division and adds nothing."""
    x, y, alpha = b.arg(op, 0), b.arg(op, 1, "other"), b.arg(op, 2, "alpha")
    if isinstance(y, Value) and isinstance(alpha, Number):
        y = _times(b, y, alpha.narrow, alpha.exponent, op)
    return _sum(b, [x, y], op)


def _times(b: Builder, x: Value, factor: float, exponent: float, op: Op) -> Value:
    """x times a number that is an argument of the operation."""
    if exponent == 0.0 and abs(factor) == 1.0:
        return x
    if x.kind == "data":
        return b.make("data", (), op, x.dims, c=x.c + exponent)
    return b.make("scale", (x,), op, x.dims, c=exponent, factor=abs(factor))


def _sum(b: Builder, terms: list[Any], op: Op) -> Value:
    kept: list[Value] = []
    for term in terms:
        if isinstance(term, Number):
            if abs(term.narrow) > NEGLIGIBLE or term.exponent != 0:
                c = term.exponent if term.narrow else ZERO
                kept.append(b.make("data", (), op, (), c=c))
        elif term is not None and not _negligible(term):
            kept.append(term)
    return b.join(kept, op, op.dims)


def _constant(term: Value) -> float | None:
    """The size of a tensor that nothing trainable flows into, and that does not depend on the width."""
    return term.op.rms()[0] if term.kind == "data" and term.c == 0 else None


def _negligible(term: Value) -> bool:
    """A guard against division by zero, or a mask: it hides entries, and adds nothing to those that it does not."""
    rms = _constant(term)
    if rms is None:
        return False
    return bool(rms <= NEGLIGIBLE and not term.op.narrow.meta["data"]) or bool(rms >= OUT_OF_REACH and term.op.shape)


@lowers(AddsProduct)
def _add_product(b: Builder, op: Op, what: AddsProduct) -> Result:
    x, y, z, value = b.arg(op, 0), b.arg(op, 1), b.arg(op, 2), b.arg(op, 3, "value")
    product = b.mul(y, b.power(z, -1.0, op, z.signed) if what.divides else z, op)
    if isinstance(value, Number):
        product = _times(b, product, value.narrow, value.exponent, op)
    return _sum(b, [x, product], op)


@lowers(Interpolates)
def _interpolate(b: Builder, op: Op, what: Interpolates) -> Result:
    """x + w·(y − x) = (1 − w)·x + w·y; where w falls with the width, what is left of x is x."""
    x, y, weight = b.arg(op, 0), b.arg(op, 1), b.arg(op, 2)
    if isinstance(weight, Value):
        rest = x if weight.kind == "data" and weight.c < 0 else b.mul(x, weight, op)
        return _sum(b, [x, b.mul(y, weight, op), rest], op)
    share = _times(b, y, weight.narrow, weight.exponent if weight.narrow else ZERO, op)
    rest = _times(b, x, 1.0 - weight.narrow, max(0.0, weight.exponent), op)
    return _sum(b, [rest, share], op)


@lowers(Concatenates)
def _concatenate(b: Builder, op: Op, what: Concatenates) -> Result:
    parts = [p for p in b.arg(op, 0) if isinstance(p, Value)]
    whole = b.join(parts, op, op.dims)
    if what.along is not None:
        b.pieces.join(op, what.along, parts, whole)
    return whole


@lowers(Chooses)
def _choose(b: Builder, op: Op, what: Chooses) -> Result:
    """Selection; a constant branch (a mask value) says nothing about size."""
    branches = [v for v in (b.arg(op, 1), b.arg(op, 2)) if isinstance(v, Value) and v.kind != "data"]
    return b.join(branches, op, op.dims) if branches else b.make("data", (), op, c=0.0)


@lowers(Extremes)
def _extreme(b: Builder, op: Op, what: Extremes) -> Result:
    x, y = b.arg(op, 0), b.arg(op, 1, "other")
    if x.kind != "data" and y.kind != "data":
        return b.join([x, y], op, op.dims)
    value, bound = (x, y) if y.kind == "data" else (y, x)
    return b.view(value, op) if bound.c == ZERO or _negligible(bound) else b.act(value, 1.0, 1.0, op, value.signed)


@lowers(Clamps)
def _clamp(b: Builder, op: Op, what: Clamps) -> Result:
    """Bounds give a function its own scale, unless they are 0, a guard against division by zero, or out of reach."""
    x, low, high = b.arg(op, 0), b.arg(op, 1, "min"), b.arg(op, 2, "max")
    bounds = [bound for bound in (low, high) if bound is not None and not isinstance(bound, bool)]
    numbers = [abs(bound.narrow) for bound in bounds if isinstance(bound, Number)]
    numbers += [rms for bound in bounds if isinstance(bound, Value) and (rms := _constant(bound)) is not None]
    if len(numbers) == len(bounds) and all(n <= NEGLIGIBLE or n >= OUT_OF_REACH for n in numbers):
        return b.power(x, 1.0, op, x.signed) if any(n <= NEGLIGIBLE for n in numbers) else b.view(x, op)
    return b.act(x, 1.0, 0.0 if len(bounds) == 2 else 1.0, op, x.signed)


@lowers(Writes)
def _write(b: Builder, op: Op, what: Writes) -> Result:
    """Old entries and new ones side by side (or added): a sum as far as sizes go."""
    source = b.arg(op, what.source, what.keyword)
    terms = [b.arg(op, 0)] + ([source] if isinstance(source, Value) else [])
    return b.join(terms, op, op.dims)


@lowers(Copies)
def _copy(b: Builder, op: Op, what: Copies) -> Result:
    source = b.arg(op, 1)
    return b.view(source, op) if isinstance(source, Value) else b.make("data", (), op, c=_number_exponent(source))


@lowers(Creates)
def _create(b: Builder, op: Op, what: Creates) -> Result:
    return b.make("data", (), op, c=ZERO if what.zero else 0.0)


@lowers(Masks)
def _mask(b: Builder, op: Op, what: Masks) -> Result:
    """A dropout mask: over its share of ones, as `div` by just that, its mean is 1 whatever the share."""
    mask = b.make("data", (), op, c=0.0)
    b.masks[mask] = b.literal(op, what.share, "p")
    return mask


def _number_exponent(value: Any) -> float:
    if isinstance(value, Number):
        return value.exponent if value.narrow else ZERO
    return 0.0


@lowers(WrittenAlias)
def _written_alias(b: Builder, op: Op, what: WrittenAlias) -> Result:
    sources = [v for v in (b.arg(op, i) for i in range(len(op.narrow.args))) if isinstance(v, Value)]
    return b.join(sources, op, op.dims)
