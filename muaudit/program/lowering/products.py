"""Lower products: elementwise, contractions, fused attention."""

from __future__ import annotations

import math
import operator
from typing import Any

from ...findings.exponents import exponent_of
from ...ops.products import (
    Bilinear,
    Contracts,
    Convolves,
    Distances,
    FusedAttention,
    Linear,
    Multiplies,
    MultipliesVector,
    NormalisesWeight,
    SolvesTriangular,
    Transforms,
    Turns,
)
from ...trace.align import Op
from ..builder import Builder, Number, Result, lowers
from ..operands import diagonal_of
from ..starts import start_of
from ..values import PER_CHANNEL, ZERO, Value, plain


# entry by entry
@lowers(Multiplies)
def _multiply(b: Builder, op: Op, what: Multiplies) -> Result:
    x = b.arg(op, 0)
    if what.divides and isinstance(x, Value) and x in b.masks and b.literal(op, 1, "other") == b.masks[x]:
        return x  # dropout: what it keeps is divided by the share that it keeps
    x, y = _as_number(x), _as_number(b.arg(op, 1, "other"))
    return _quotient(b, x, y, op) if what.divides else _product(b, x, y, op)


def _as_number(given: Any) -> Any:
    """A truth value as the number that it is in arithmetic: `self.training * noise`."""
    return Number(float(given), float(given), 0.0) if isinstance(given, bool) else given


def _quotient(b: Builder, x: Any, y: Any, op: Op) -> Value:
    if isinstance(y, Number):
        return _product(b, x, Number(1 / y.narrow if y.narrow else 1.0, 1.0, -y.exponent), op)
    if y.kind == "data":
        b.drifts(y, op)
        return b.make("scale", (x,), op, c=-y.c if y.c != ZERO else 0.0, factor=1 / (y.op.rms()[0] or 1.0))
    if b.is_statistic(y, x):
        c, factor = b.statistic(y)
        return b.make("scale", (x,), op, op.dims, c=-c, factor=1 / factor)
    return _product(b, x, b.make("power", (y,), op, y.dims, c=-1.0, signed=y.signed), op)


def _product(b: Builder, x: Any, y: Any, op: Op) -> Value:
    if isinstance(x, Number):
        x, y = y, x
    if isinstance(y, Number):
        exponent = y.exponent if y.narrow else ZERO
        return b.make("scale", (x,), op, op.dims, c=exponent, factor=abs(y.narrow))
    return b.mul(x, y, op, op.dims)


@lowers(Turns)
def _turn(b: Builder, op: Op, what: Turns) -> Result:
    x, angle = b.arg(op, 0), b.arg(op, 1)
    return b.view(x, op) if angle.kind == "data" else b.mul(x, b.act(angle, 0.0, 0.0, op), op, op.dims)


@lowers(NormalisesWeight)
def _weight_norm(b: Builder, op: Op, what: NormalisesWeight) -> Result:
    """g · v / ‖v‖, the norm over all dims but one, as measured: a constant of the step (arXiv 1602.07868)."""
    v, g = b.arg(op, 0), b.arg(op, 1)
    norms = next((n for n in op.narrow.users if n.target is operator.getitem and n.args[1] == 1), None)
    measured = b.aligned.by_node[norms].rms() if norms is not None else (None, None)
    raw = exponent_of(*measured, b.unit)
    if raw is None:
        return b.unknown(op, (v, g), "the norms of a normalised weight were not recorded")
    start = start_of(v, b.starts)
    size = b.snapped(raw) if start is None else start + (v.size - g.size) / 2
    direction = b.make("scale", (v,), op, v.dims, c=-size, factor=1 / (measured[0] or 1.0))
    return (b.mul(direction, b.norm_of(v, g, op), op, v.dims), b.make("data", (), op, g.dims, c=raw))


@lowers(Bilinear)
def _trilinear(b: Builder, op: Op, what: Bilinear) -> Result:
    """Σᵢⱼ xᵢ·Wₒᵢⱼ·yⱼ, the sum of `nn.Bilinear` over all pairs of entries."""
    x, weight, y = b.arg(op, 0), b.arg(op, 1), b.arg(op, 2)
    if len(weight.dims) != 3 or op.narrow.args[3:7] != ([1, 3], [0], [1, 2], [2, 3]):
        return b.unknown(op, (x, weight, y), "a trilinear product other than that of nn.Bilinear")
    e_out, e_in = weight.dims[0], weight.dims[1] + weight.dims[2]
    pairs = b.make("mul", (x, y), op, (*x.dims, y.dims[-1]), signed=x.signed or y.signed)
    return b.contract(pairs, weight, e_in, (0.0, e_out), op)


@lowers(Distances)
def _distances(b: Builder, op: Op, what: Distances) -> Result:
    """sqrt(Σ (x − y)²) over the last dim."""
    x, y = b.arg(op, 0), b.arg(op, 1)
    square = b.power(b.join([x, y], op, x.dims), 2.0, op)
    total = b.make("reduce", (square,), op, e=x.dims[-1], signed=False) if x.dims[-1] else square
    return b.power(total, 0.5, op)


@lowers(Transforms)
def _fft(b: Builder, op: Op, what: Transforms) -> Result:
    """A rotation times sqrt(entries), whatever is transformed (Parseval); mode 1 takes the root out, mode 2 all."""
    x, dims, mode = b.arg(op, 0), op.narrow.args[1], op.narrow.args[2]
    assert isinstance(dims, (list, tuple))
    e = sum(x.dims[int(d)] for d in dims)  # type: ignore[arg-type]
    entries = math.prod(op.narrow.args[0].meta["shape"][int(d)] for d in dims)  # type: ignore[union-attr, arg-type]
    power = {0: 0.5, 1: 0.0, 2: -0.5}[int(mode)]  # type: ignore[arg-type]
    return b.make("scale", (x,), op, c=power * e, factor=entries**power)


@lowers(SolvesTriangular)
def _solve_triangular(b: Builder, op: Op, what: SolvesTriangular) -> Result:
    """A⁻¹·B, as delta rules use it: with ones on the diagonal, A below it has a scale of its own; else 1/A."""
    a, x = b.arg(op, 0), b.arg(op, 1)
    shared = a.dims[-1]
    inverse = b.act(a, 0.0, 0.0, op) if op.narrow.kwargs.get("unitriangular") else b.power(a, -1.0, op, a.signed)
    inverse.dims = a.dims
    return b.contract(inverse, x, shared, (a.dims[-2], x.dims[-1]), op)


# contractions
@lowers(Contracts)
def _contract(b: Builder, op: Op, what: Contracts) -> Result:
    """beta·added + alpha·(.., m, k) × (.., k, p)."""
    return _added(b, _matmul(b, what.first, what.second, op), what.added, op)


def _added(b: Builder, out: Value, added: int | None, op: Op) -> Value:
    """beta·added + alpha·out."""
    if added is None:
        return out
    bias, beta, alpha = b.arg(op, added), b.arg(op, 3, "beta"), b.arg(op, 4, "alpha")
    if isinstance(alpha, Number):
        out = b.scale(out, alpha.exponent, op)
    if isinstance(beta, Number):
        bias = b.scale(bias, beta.exponent, op) if beta.narrow else None
    return b.bias(out, bias, op)


def _matmul(b: Builder, first: int, second: int, op: Op) -> Value:
    x, y = b.arg(op, first), b.arg(op, second)
    for matrix, other in ((x, y), (y, x)):
        entries = diagonal_of(matrix)
        if entries is not None:
            return b.mul(other, entries, op, op.dims)
    if plain(x) is plain(y) and op.shape[-2:] == (1, 1) and not x.weight:  # the squares of one vector, summed
        squares = b.mul(x, x, op, y.dims)
        return b.make("reduce", (squares,), op, e=y.dims[-2], signed=False) if y.dims[-2] else squares
    turned = _turned(b, x, y, op)
    if turned is not None:
        return turned
    return b.contract(x, y, y.dims[-2], (x.dims[-2], y.dims[-1]), op, op.dims)


def _turned(b: Builder, x: Value, y: Value, op: Op) -> Value | None:
    """A product with a constant matrix of two growing dims, as a multiple of what it multiplies.

    Training never aligns a constant with anything, but what is trained may align with it: its largest singular value
    bounds the sizes forwards and backwards, whether it is random, averages or turns.
    """
    if (x.kind == "data") == (y.kind == "data"):
        return None
    matrix, other = (x, y) if x.kind == "data" else (y, x)
    wide = op.wide.meta.get("gain") if op.wide is not None else None
    raw = exponent_of(op.narrow.meta.get("gain"), wide, b.unit)
    if raw is None or not all(e > 0 for e in matrix.dims[-2:]):
        return None
    return b.make("scale", (other,), op, op.dims, c=b.snapped(raw), factor=op.narrow.meta["gain"], signed=True)


def _shape(op: Op, index: int) -> tuple[int, ...]:
    """The shape at the first probe of the tensor that is argument `index`."""
    node = op.narrow.args[index]
    return tuple(node.meta["shape"])  # type: ignore[union-attr]


@lowers(Linear)
def _linear(b: Builder, op: Op, what: Linear) -> Result:
    """(.., k) × (p, k), as tensors that are not taken apart further (nested ones) have it."""
    x, weight = b.arg(op, 0), b.arg(op, 1)
    out = b.contract(x, weight, weight.dims[-1], (0.0, weight.dims[0]), op, op.dims)
    return b.bias(out, b.arg(op, 2), op)


@lowers(MultipliesVector)
def _mv(b: Builder, op: Op, what: MultipliesVector) -> Result:
    x, y = b.arg(op, what.first), b.arg(op, what.second)
    outer = x.dims[-2] if len(x.dims) > 1 else 0.0
    return _added(b, b.contract(x, y, y.dims[-1], (outer, 0.0), op), what.added, op)


@lowers(Convolves)
def _convolution(b: Builder, op: Op, what: Convolves) -> Result:
    """Weight (out, in / groups, *kernel); transposed (in, out / groups, *kernel).

    A convolution sums over the positions of its kernel too: as wide as its input, `Conv2d(1, n, (3, n))`, they are a
    matrix's. A transposed one sums over those that overlap, as few as its input has places.
    """
    x, weight, bias = b.arg(op, 0), b.arg(op, 1), b.arg(op, 2)
    transposed = bool(op.narrow.args[6])
    groups = b.aligned.sizes(*(int(g) for g in b.literal(op, 8)))
    first, second = weight.dims[0], weight.dims[1]
    e_in, e_out = (first - groups, second) if transposed else (second, first)
    if transposed and any(n > 0 and k > 0 for n, k in zip(x.dims[2:], weight.dims[2:], strict=False)):
        return b.unknown(op, (x, weight), "a transposed convolution whose kernel grows as its input does")
    positions = 0.0 if transposed else sum(weight.dims[2:])
    out = b.contract(x, weight, e_in + positions, (0.0, e_out), op)
    out.note = PER_CHANNEL if groups > 0 and e_in == 0 else ""
    return b.bias(out, bias, op)


@lowers(FusedAttention)
def _attention(b: Builder, op: Op, what: FusedAttention) -> Result:
    """softmax(q·kᵀ·scale)·v; scale=None means 1/sqrt(d_head)."""
    q, k, v = b.arg(op, 0), b.arg(op, 1), b.arg(op, 2)
    d_head = q.dims[-1]
    scale = b.arg(op, -1, "scale")
    logit_dims = (*q.dims[:-1], k.dims[-2])
    logits = b.contract(q, k, d_head, (q.dims[-2], k.dims[-2]), op, logit_dims)
    if isinstance(scale, Number):
        logits = b.make("scale", (logits,), op, logit_dims, c=scale.exponent, factor=abs(scale.narrow))
    else:
        factor, note = _shape(op, 0)[-1] ** -0.5, "1/sqrt(d_head)"
        logits = b.make("scale", (logits,), op, logit_dims, c=-d_head / 2, factor=factor, note=note)
    mask = b.arg(op, -1 if what.mask is None else what.mask, "attn_mask")
    if isinstance(mask, Value) and mask.kind != "data":  # a learned position bias comes in as the mask
        logits = b.join([logits, mask], op, logit_dims)
    weights = b.make("softmax", (logits,), op, logit_dims, signed=False)
    out = b.contract(weights, v, k.dims[-2], (q.dims[-2], v.dims[-1]), op)
    return (out, *(None for _ in range(8)))
