"""Reductions, normalisation, nonlinearities and losses."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any, cast

from torch import fx

from ...findings.exponents import exponent_of
from ...trace.align import Op
from ..builder import HANDLERS, Builder, Number, Result, handles
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

    None where x is no plain product of two different values, or where one factor alone has a growing dim that is
    summed. Dims that both have and that stay are a batch.
    """
    nodes = [node for node in x.op.narrow.args[:2] if isinstance(node, fx.Node)]
    factors = [b.of.get(node) for node in nodes]
    if x.op.name != "aten.mul" or len(factors) < 2 or not _is_product_of(x, factors):
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


def _is_product_of(x: Value, factors: Sequence[Result | None]) -> bool:
    """Whether x is the plain product of these two, of which one may be data where the other is a weight."""
    one, other = factors
    if x.kind == "scale" and isinstance(one, Value) and isinstance(other, Value):
        return {one.kind == "data", other.kind == "data"} == {True, False} and (one.weight or other.weight)
    return x.kind == "mul" and not x.normalises and list(factors) == list(x.args)


@handles("sum", "nansum")
def _sum_dims(b: Builder, op: Op) -> Result:
    x = b.arg(op, 0)
    return _sum_of_products(b, op, x, False) or _reduce(b, x, _reduced(b, op, x, 1), False, op)


@handles("mean", "nanmean")
def _mean(b: Builder, op: Op) -> Result:
    x = b.arg(op, 0)
    return _sum_of_products(b, op, x, True) or _reduce(b, x, _reduced(b, op, x, 1), True, op)


@handles("var", "std")
def _var(b: Builder, op: Op) -> Result:
    """Mean square, or its root: positive, so the mean has the size of the entries."""
    x = b.arg(op, 0)
    square = b.make("power", (x,), op, x.dims, c=2.0, signed=False)
    mean = _reduce(b, square, _reduced(b, op, x, 1), True, op)
    return b.power(mean, 0.5, op) if "std" in op.name else mean


@handles("var_mean", "std_mean")
def _var_mean(b: Builder, op: Op) -> Result:
    x = b.arg(op, 0)
    spread = _var(b, op)
    assert isinstance(spread, Value)
    return (spread, _reduce(b, x, _reduced(b, op, x, 1), True, op))


@handles("linalg_vector_norm", "norm")
def _vector_norm(b: Builder, op: Op) -> Result:
    """(Σ |x|^p)^(1/p), so entries^(1/p) times the size of an entry; the largest entry for p = ∞."""
    x, p = b.arg(op, 0), b.arg(op, 1, "p" if op.name.endswith(".norm") else "ord")
    order = 2.0 if p is None else p.narrow
    if abs(order) == math.inf:
        return b.view(x, op)
    if order <= 0:
        return b.unknown(op, (x,), f"a norm of order {order:g}")
    raised = b.make("power", (x,), op, x.dims, c=order, signed=False)
    total = _reduce(b, raised, _reduced(b, op, x, 2), False, op)
    return b.power(total, 1 / order, op)


@handles("logsumexp", "logcumsumexp")
def _logsumexp(b: Builder, op: Op) -> Result:
    return b.act(b.arg(op, 0), 0.0, 1.0, op)


@handles("prod", "cumprod")
def _prod(b: Builder, op: Op) -> Result:
    return b.act(b.arg(op, 0), 0.0, 0.0, op)


# normalisation
def _affine(b: Builder, x: Value, e: float, gain: Any, bias: Any, op: Op) -> Value:
    out = b.make("norm", (x,), op, x.dims, e=e)
    if isinstance(gain, Value):
        out = b.mul(out, gain, op, x.dims)
    return b.bias(out, bias, op)


@handles("native_layer_norm")
def _layer_norm(b: Builder, op: Op) -> Result:
    x, shape = b.arg(op, 0), op.narrow.args[1]
    e = sum(x.dims[-len(shape) :])  # type: ignore[arg-type]
    return (_affine(b, x, e, b.arg(op, 2), b.arg(op, 3), op), None, None)


@handles("rms_norm", "_fused_rms_norm")
def _rms_norm(b: Builder, op: Op) -> Result:
    x, shape = b.arg(op, 0), op.narrow.args[1]
    out = _affine(b, x, sum(x.dims[-len(shape) :]), b.arg(op, 2), None, op)  # type: ignore[arg-type]
    return (out, None) if op.name.endswith("_fused_rms_norm") else out


@handles("native_batch_norm", "_native_batch_norm_legit", "_native_batch_norm_legit_functional", "cudnn_batch_norm")
def _batch_norm(b: Builder, op: Op) -> Result:
    """Statistics over batch and positions: finite, one per channel. Of a weight (standardisation): a constant."""
    x = b.arg(op, 0)
    if x.weight and not op.narrow.meta["data"]:
        return (_standardised(b, x, op), *(None for _ in range(4)))
    return (_affine(b, b.arg(op, 0), 0.0, b.arg(op, 1), b.arg(op, 2), op), *(None for _ in range(4)))


def _standardised(b: Builder, x: Value, op: Op) -> Value:
    """A weight over the standard deviation of its rows, as measured (arXiv 1903.10520)."""
    inverse = next((n for n in op.narrow.users if n.target is operator.getitem and n.args[1] == 2), None)
    measured = b.aligned.by_node[inverse].rms() if inverse is not None else (None, None)
    raw = exponent_of(*measured, b.unit)
    affine = [a for a in (b.arg(op, 1), b.arg(op, 2)) if isinstance(a, Value)]
    if raw is None or affine:
        return b.unknown(op, (x, *affine), "a standardised weight whose standard deviation was not recorded")
    return b.make("scale", (x,), op, x.dims, c=b.snapped(raw), factor=measured[0] or 1.0, note="standardised")


@handles("_native_batch_norm_legit_no_training", "batch_norm", "_batch_norm_with_update", "_batch_norm_no_update")
def _batch_norm_eval(b: Builder, op: Op) -> Result:
    return (_affine(b, b.arg(op, 0), 0.0, b.arg(op, 1), b.arg(op, 2), op), *(None for _ in range(4)))


@handles("native_group_norm")
def _group_norm(b: Builder, op: Op) -> Result:
    x = b.arg(op, 0)
    return (_affine(b, x, x.dims[1] if len(x.dims) > 1 else 0.0, b.arg(op, 1), b.arg(op, 2), op), None, None)


# nonlinearities
@handles("_softmax", "_log_softmax", "_safe_softmax", "softmax", "log_softmax", "special_log_softmax")
def _softmax(b: Builder, op: Op) -> Result:
    x = b.arg(op, 0)
    log = "log" in op.name
    return b.make("softmax", (x,), op, signed=log, e=0.0 if log else _reduced(b, op, x, 1))


# name: (degree near zero, degree far out, entries have both signs). Degree 0 near zero: a nonzero value at zero.
ACTIVATIONS: dict[str, tuple[float, float, bool]] = {
    "gelu": (1, 1, True), "silu": (1, 1, True), "mish": (1, 1, True), "elu": (1, 1, True), "celu": (1, 1, True),
    "selu": (1, 1, True), "hardswish": (1, 1, True), "softplus": (0, 1, False), "tanh": (1, 0, True),
    "erf": (1, 0, True),
    "sigmoid": (0, 0, False), "hardsigmoid": (0, 0, False),
    "log_sigmoid_forward": (0, 1, False),
    "log_sigmoid": (0, 1, False), "exp": (0, 0, False),
    "exp2": (0, 0, False), "expm1": (1, 0, True), "log": (0, 0, True),
    "log1p": (1, 0, True), "log2": (0, 0, True), "sin": (1, 0, True), "cos": (0, 0, True), "atan": (1, 0, True),
    "asin": (1, 0, True), "acos": (0, 0, True),
    "asinh": (1, 0, True), "softsign": (1, 0, True), "softshrink": (1, 1, True),
    "hardshrink": (1, 1, True), "erfc": (0, 0, False),
    "special_xlog1py": (1, 1, True), "logit": (1, 0, True), "sinc": (0, 0, True),
    "cosh": (0, 0, False), "sinh": (1, 0, True), "round": (1, 1, True), "floor": (1, 1, True), "ceil": (1, 1, True),
    "trunc": (1, 1, True),
}  # fmt: skip


def _activation(low: float, high: float, signed: bool) -> Callable[[Builder, Op], Result]:
    return lambda b, op: b.act(b.arg(op, 0), low, high, op, signed)


for _name, (_low, _high, _signed) in ACTIVATIONS.items():
    HANDLERS[_name] = _activation(_low, _high, _signed)


def _homogeneous(degree: float, signed: bool) -> Callable[[Builder, Op], Result]:
    return lambda b, op: b.power(b.arg(op, 0), degree, op, signed)


# f(t·x) = t^p · f(x) for t > 0
for _name, _degree, _signed in [
    ("relu", 1.0, False), ("leaky_relu", 1.0, True), ("threshold", 1.0, False), ("abs", 1.0, False),
    ("sqrt", 0.5, False),
    ("rsqrt", -0.5, False), ("reciprocal", -1.0, True), ("square", 2.0, False), ("rrelu_with_noise", 1.0, True),
    ("rrelu_with_noise_functional", 1.0, True), ("sign", 0.0, True), ("sgn", 0.0, True),
]:  # fmt: skip
    HANDLERS[_name] = _homogeneous(_degree, _signed)


@handles("_prelu_kernel", "prelu")
def _prelu(b: Builder, op: Op) -> Result:
    x, slope = b.arg(op, 0), b.arg(op, 1)
    return b.join([b.power(x, 1.0, op, True), b.mul(x, slope, op, op.dims)], op, op.dims)


@handles("glu")
def _glu(b: Builder, op: Op) -> Result:
    """a · sigmoid(b) for the two halves of x."""
    x = b.arg(op, 0)
    gate = b.make("act", (b.make("view", (x,), op),), op, c=0.0, low=0.0, signed=False)
    return b.mul(b.make("view", (x,), op), gate, op, op.dims)


@handles("pow", "float_power")
def _pow(b: Builder, op: Op) -> Result:
    x, p = b.arg(op, 0), b.arg(op, 1)
    if isinstance(x, Value) and isinstance(p, Number):
        return b.power(x, p.narrow, op, signed=x.signed and p.narrow % 2 == 1)
    operands = [v for v in (x, p) if isinstance(v, Value) and v.kind != "data"]
    powers = [b.act(v, 0.0, 0.0, op, False) for v in operands]  # of size 1 where base and exponent are
    return b.join(powers, op, op.dims) if powers else b.make("data", (), op, c=0.0)


# backward of a function: what comes in times the derivative, which is of size 1 where the function is of use
_DERIVATIVES = ("tanh", "sigmoid", "gelu", "silu", "elu", "softplus", "hardtanh", "hardswish", "hardsigmoid", "mish",
                "log_sigmoid")  # fmt: skip
_DERIVATIVES_OF_HOMOGENEOUS = ("threshold", "leaky_relu", "rrelu_with_noise")


@handles(*(f"{name}_backward" for name in (*_DERIVATIVES, *_DERIVATIVES_OF_HOMOGENEOUS)))
def _derivative(b: Builder, op: Op) -> Result:
    gradient, x = b.arg(op, 0), b.arg(op, 1)
    name = op.name.removeprefix("aten.").removesuffix("_backward")
    homogeneous = name in _DERIVATIVES_OF_HOMOGENEOUS
    slope = b.power(x, 0.0, op, False) if homogeneous else b.act(x, 0.0, 0.0, op, signed=False)
    return b.mul(gradient, slope, op, op.dims)


# losses
@handles(
    "nll_loss_forward", "nll_loss", "nll_loss2d_forward", "nll_loss_nd", "cross_entropy_loss", "mse_loss", "l1_loss",
    "smooth_l1_loss", "huber_loss", "binary_cross_entropy", "binary_cross_entropy_with_logits", "kl_div",
    "soft_margin_loss",
    "poisson_nll_loss", "hinge_embedding_loss", "_ctc_loss", "margin_ranking_loss", "xlogy", "multi_margin_loss",
)  # fmt: skip
def _loss(b: Builder, op: Op) -> Result:
    inputs = [v for v in (b.arg(op, 0), b.arg(op, 1)) if isinstance(v, Value) and v.kind != "data"]
    value = b.make("loss", tuple(inputs), op, ())
    return (value, None) if "forward" in op.name or op.name.endswith("_ctc_loss") else value
