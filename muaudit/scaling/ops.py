"""The table of ATen operations: which small-language value each one is, with the identity behind it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from ..capture.align import Op
from .lower import HANDLERS, Builder, Number, Result, handles
from .values import ZERO, Value

NEGLIGIBLE = 1e-3  # a width-independent addend this small is a guard against division by zero

# -- the same entries: moved, repeated, selected, cast ---------------------------------------------------------------
VIEWS = [
    "view",
    "_unsafe_view",
    "reshape",
    "_reshape_alias",
    "t",
    "transpose",
    "permute",
    "expand",
    "squeeze",
    "unsqueeze",
    "slice",
    "select",
    "clone",
    "contiguous",
    "detach",
    "alias",
    "_to_copy",
    "to",
    "lift_fresh",
    "flatten",
    "unflatten",
    "narrow",
    "movedim",
    "swapaxes",
    "diagonal",
    "as_strided",
    "roll",
    "flip",
    "repeat",
    "repeat_interleave",
    "tile",
    "constant_pad_nd",
    "pad",
    "reflection_pad1d",
    "reflection_pad2d",
    "replication_pad1d",
    "replication_pad2d",
    "view_as_complex",
    "view_as_real",
    "_conj",
    "conj",
    "real",
    "imag",
    "resolve_conj",
    "resolve_neg",
    "neg",
    "positive",
    "tril",
    "triu",
    "cumsum",
    "logcumsumexp",
    "masked_fill",
    "gather",
    "index_select",
    "take_along_dim",
    "take",
    "max_pool2d_with_indices",
    "max_pool1d",
    "avg_pool1d",
    "avg_pool2d",
    "_adaptive_avg_pool2d",
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "_adaptive_avg_pool3d",
    "upsample_nearest1d",
    "upsample_nearest2d",
    "upsample_bilinear2d",
    "_upsample_bilinear2d_aa",
    "upsample_bicubic2d",
    "upsample_linear1d",
    "_upsample_nearest_exact1d",
    "_upsample_nearest_exact2d",
    "pixel_shuffle",
    "pixel_unshuffle",
    "clamp",
    "clamp_min",
    "clamp_max",
    "sort",
    "topk",
    "msort",
    "nan_to_num",
    "unfold",
    "im2col",
    "col2im",
    "fill_diagonal",
    "channel_shuffle",
    "rot90",
    "dropout",
    "alpha_dropout",
    "native_dropout",
    "amax",
    "amin",
    "max",
    "min",
    "median",
    "mode",
    "kthvalue",
    "cummax",
    "cummin",
    "diag",
    "diag_embed",
    "diagonal_copy",
    "view_copy",
    "zero_pad",
    "max_pool3d_with_indices",
    "avg_pool3d",
]


@handles("getitem_view", *VIEWS)
def _view(b: Builder, op: Op) -> Result:
    x = b.arg(op, 0)
    if not isinstance(x, Value):
        return b.unknown(op, (), f"{op.name} without a tensor argument")
    if x.kind == "data":
        return b.make("data", (), op, c=x.c)
    return b.view(x, op)


@handles("split", "split_with_sizes", "chunk", "unbind", "tensor_split", "unsafe_split", "unsafe_chunk")
def _split(b: Builder, op: Op) -> Result:
    # one view per piece is made by the getitem that follows; here the source stands for all of them
    return b.view(b.arg(op, 0), op)


@handles("index")
def _index(b: Builder, op: Op) -> Result:
    """x[indices]: rows of a table when x is a parameter and an index is data, else a view."""
    x = b.arg(op, 0)
    indices = op.narrow.args[1] if len(op.narrow.args) > 1 else ()
    from_data = any(getattr(n, "meta", {}).get("data") for n in indices if n is not None)  # type: ignore[union-attr]
    return b.make("lookup", (x,), op) if x.weight and from_data else b.view(x, op)


@handles("embedding")
def _embedding(b: Builder, op: Op) -> Result:
    table = b.arg(op, 0)
    return b.make("lookup", (table,), op) if table.weight else b.view(table, op)


@handles("_embedding_bag", "embedding_bag", "_embedding_bag_forward_only")
def _embedding_bag(b: Builder, op: Op) -> Result:
    return (b.make("lookup", (b.arg(op, 0),), op), None, None, None)


# -- sums -------------------------------------------------------------------------------------------------------------
@handles("add", "sub", "rsub")
def _add(b: Builder, op: Op) -> Result:
    """x + alpha·y, sizes exponent max(x, y); a tiny constant guards a division and adds nothing."""
    x, y, alpha = b.arg(op, 0), b.arg(op, 1, "other"), b.arg(op, 2, "alpha")
    if isinstance(y, Value) and isinstance(alpha, Number):
        y = b.scale(y, alpha.exponent, op)
    return _sum(b, [x, y], op)


def _sum(b: Builder, terms: list[Any], op: Op) -> Value:
    kept: list[Value] = []
    for term in terms:
        if isinstance(term, Number):
            if abs(term.narrow) > NEGLIGIBLE or term.exponent != 0:
                kept.append(b.make("data", (), op, (), c=term.exponent if term.narrow else ZERO))
        elif term is not None and not _negligible(term):
            kept.append(term)
    return b.join(kept, op, op.dims)


def _negligible(term: Value) -> bool:
    rms = term.op.rms()[0] if term.kind == "data" else None
    return rms is not None and rms <= NEGLIGIBLE and term.c == 0 and not term.op.narrow.meta["data"]


@handles("addcmul", "addcdiv")
def _addcmul(b: Builder, op: Op) -> Result:
    x, y, z, value = b.arg(op, 0), b.arg(op, 1), b.arg(op, 2), b.arg(op, 3, "value")
    product = b.mul(y, b.power(z, -1.0, op, z.signed) if "addcdiv" in op.name else z, op)
    return _sum(b, [x, b.scale(product, value.exponent, op) if isinstance(value, Number) else product], op)


@handles("lerp")
def _lerp(b: Builder, op: Op) -> Result:
    """x + w·(y − x)."""
    x, y, weight = b.arg(op, 0), b.arg(op, 1), b.arg(op, 2)
    if isinstance(weight, Value):
        return _sum(b, [x, b.mul(y, weight, op), b.mul(x, weight, op)], op)
    return _sum(b, [x, y], op)


@handles("cat", "stack", "hstack", "vstack", "concat")
def _cat(b: Builder, op: Op) -> Result:
    parts = [p for p in b.arg(op, 0) if isinstance(p, Value)]
    return b.join(parts, op, op.dims)


@handles("where")
def _where(b: Builder, op: Op) -> Result:
    """Selection; a constant branch (a mask value) says nothing about size."""
    branches = [v for v in (b.arg(op, 1), b.arg(op, 2)) if isinstance(v, Value) and v.kind != "data"]
    return b.join(branches, op, op.dims) if branches else b.make("data", (), op, c=0.0)


@handles("maximum", "minimum", "fmax", "fmin")
def _maximum(b: Builder, op: Op) -> Result:
    parts = [v for v in (b.arg(op, 0), b.arg(op, 1)) if isinstance(v, Value) and v.kind != "data"]
    return b.join(parts, op, op.dims)


_SOURCE_POSITION = {
    "index_put": 2, "_index_put_impl": 2, "index_add": 3, "index_copy": 3, "scatter": 3, "scatter_add": 3,
    "scatter_reduce": 3,
    "slice_scatter": 1, "select_scatter": 1, "masked_scatter": 2, "diagonal_scatter": 1, "put": 2,
}  # fmt: skip


@handles(*_SOURCE_POSITION)
def _scatter(b: Builder, op: Op) -> Result:
    """Old entries and new ones side by side (or added): a sum as far as sizes go."""
    name = op.name.removeprefix("aten.").removesuffix("_")
    source = b.arg(op, _SOURCE_POSITION[name], "source" if name.startswith("index_") else "src")
    terms = [b.arg(op, 0)] + ([source] if isinstance(source, Value) else [])
    return b.join(terms, op, op.dims)


@handles("copy", "fill", "set_data")
def _copy(b: Builder, op: Op) -> Result:
    source = b.arg(op, 1)
    return b.view(source, op) if isinstance(source, Value) else b.make("data", (), op, c=_number_exponent(source))


@handles("zero", "zeros_like", "new_zeros", "empty_like", "new_empty")
def _zero(b: Builder, op: Op) -> Result:
    return b.make("data", (), op, c=ZERO)


@handles(
    "ones_like",
    "new_ones",
    "full_like",
    "rand_like",
    "randn_like",
    "bernoulli",
    "new_full",
    "uniform",
    "normal",
    "sign",
)
def _fresh(b: Builder, op: Op) -> Result:
    return b.make("data", (), op, c=0.0)


def _number_exponent(value: Any) -> float:
    if isinstance(value, Number):
        return value.exponent if value.narrow else ZERO
    return 0.0


def _written_alias(b: Builder, op: Op) -> Result:
    sources = [v for v in (b.arg(op, i) for i in range(len(op.narrow.args))) if isinstance(v, Value)]
    return b.join(sources, op, op.dims)


HANDLERS["written_alias"] = _written_alias


# -- products ---------------------------------------------------------------------------------------------------------
@handles("mul", "multiply")
def _mul(b: Builder, op: Op) -> Result:
    return _product(b, b.arg(op, 0), b.arg(op, 1, "other"), op)


@handles("div", "divide", "true_divide")
def _div(b: Builder, op: Op) -> Result:
    x, y = b.arg(op, 0), b.arg(op, 1, "other")
    if isinstance(y, Number):
        return _product(b, x, Number(1 / y.narrow if y.narrow else 1.0, 1.0, -y.exponent), op)
    if y.kind == "data":
        return b.make("scale", (x,), op, c=-y.c if y.c != ZERO else 0.0)
    return _product(b, x, b.make("power", (y,), op, y.dims, c=-1.0, signed=y.signed), op)


def _product(b: Builder, x: Any, y: Any, op: Op) -> Value:
    if isinstance(x, Number):
        x, y = y, x
    if isinstance(y, Number):
        exponent = y.exponent if y.narrow else ZERO
        return b.make("scale", (x,), op, op.dims, c=exponent)
    return b.mul(x, y, op, op.dims)


# -- contractions -----------------------------------------------------------------------------------------------------
@handles("mm", "bmm", "_grouped_mm")
def _mm(b: Builder, op: Op) -> Result:
    """(.., m, k) × (.., k, p)."""
    x, y = b.arg(op, 0), b.arg(op, 1)
    return _matmul(b, x, y, op)


def _matmul(b: Builder, x: Value, y: Value, op: Op) -> Value:
    return b.contract(x, y, y.dims[-2], (x.dims[-2], y.dims[-1]), op, op.dims)


@handles("addmm", "baddbmm", "addbmm")
def _addmm(b: Builder, op: Op) -> Result:
    bias, x, y = b.arg(op, 0), b.arg(op, 1), b.arg(op, 2)
    beta, alpha = b.arg(op, 3, "beta"), b.arg(op, 4, "alpha")
    out = _matmul(b, x, y, op)
    if isinstance(alpha, Number):
        out = b.scale(out, alpha.exponent, op)
    if isinstance(beta, Number):
        bias = b.scale(bias, beta.exponent, op) if beta.narrow else None
    return b.bias(out, bias, op)


@handles("mv", "dot", "vdot")
def _mv(b: Builder, op: Op) -> Result:
    x, y = b.arg(op, 0), b.arg(op, 1)
    outer = x.dims[-2] if len(x.dims) > 1 else 0.0
    return b.contract(x, y, y.dims[-1], (outer, 0.0), op)


@handles("convolution", "_convolution", "mkldnn_convolution")
def _convolution(b: Builder, op: Op) -> Result:
    """Weight (out, in / groups, *kernel); transposed (in, out / groups, *kernel). Kernel positions are finite."""
    x, weight, bias = b.arg(op, 0), b.arg(op, 1), b.arg(op, 2)
    transposed = bool(op.narrow.args[6])
    groups = b.aligned.sizes(*(int(g) for g in b.literal(op, 8)))
    first, second = weight.dims[0], weight.dims[1]
    e_in, e_out = (first - groups, second) if transposed else (second, first)
    out = b.contract(x, weight, e_in, (0.0, e_out), op)
    out.note = "per channel" if groups > 0 and e_in == 0 else ""
    return b.bias(out, bias, op)


_ATTENTION = [
    "_scaled_dot_product_flash_attention_for_cpu", "_scaled_dot_product_flash_attention",
    "_scaled_dot_product_efficient_attention", "_scaled_dot_product_cudnn_attention",
    "_scaled_dot_product_attention_math", "_scaled_dot_product_fused_attention_overrideable",
]  # fmt: skip


@handles(*_ATTENTION)
def _attention(b: Builder, op: Op) -> Result:
    """softmax(q·kᵀ·scale)·v; scale=None means 1/sqrt(d_head)."""
    q, k, v = b.arg(op, 0), b.arg(op, 1), b.arg(op, 2)
    d_head = q.dims[-1]
    scale = b.arg(op, -1, "scale")
    logit_dims = (*q.dims[:-1], k.dims[-2])
    logits = b.contract(q, k, d_head, (q.dims[-2], k.dims[-2]), op, logit_dims)
    c = scale.exponent if isinstance(scale, Number) else -d_head / 2
    logits = b.make("scale", (logits,), op, logit_dims, c=c, note="" if isinstance(scale, Number) else "1/sqrt(d_head)")
    weights = b.make("softmax", (logits,), op, logit_dims, signed=False)
    out = b.contract(weights, v, k.dims[-2], (q.dims[-2], v.dims[-1]), op)
    return (out, *(None for _ in range(8)))


# -- reductions -------------------------------------------------------------------------------------------------------
def _reduced(b: Builder, op: Op, x: Value, position: int) -> float:
    dims = op.narrow.args[position] if len(op.narrow.args) > position else op.narrow.kwargs.get("dim")
    if dims is None or dims == []:
        return x.size
    chosen: list[Any] = [dims] if isinstance(dims, int) else list(cast(Any, dims))
    return sum(x.dims[int(d)] for d in chosen)


def _reduce(b: Builder, x: Value, e: float, mean: bool, op: Op) -> Value:
    if e == 0:
        return b.make("view", (x,), op)
    return b.make("reduce", (x,), op, e=e, mean=mean, signed=x.signed)


@handles("sum", "nansum")
def _sum_dims(b: Builder, op: Op) -> Result:
    x = b.arg(op, 0)
    return _reduce(b, x, _reduced(b, op, x, 1), False, op)


@handles("mean", "nanmean")
def _mean(b: Builder, op: Op) -> Result:
    x = b.arg(op, 0)
    return _reduce(b, x, _reduced(b, op, x, 1), True, op)


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
def _norm2(b: Builder, op: Op) -> Result:
    """sqrt(Σ x²) = sqrt(entries) · rms."""
    x = b.arg(op, 0)
    square = b.make("power", (x,), op, x.dims, c=2.0, signed=False)
    total = _reduce(b, square, _reduced(b, op, x, 2), False, op)
    return b.power(total, 0.5, op)


@handles("logsumexp")
def _logsumexp(b: Builder, op: Op) -> Result:
    return b.act(b.arg(op, 0), 0.0, 1.0, op)


@handles("prod", "cumprod")
def _prod(b: Builder, op: Op) -> Result:
    return b.act(b.arg(op, 0), 0.0, 0.0, op)


# -- normalisation ----------------------------------------------------------------------------------------------------
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
    """Statistics over batch and positions: finite, one per channel."""
    return (_affine(b, b.arg(op, 0), 0.0, b.arg(op, 1), b.arg(op, 2), op), *(None for _ in range(4)))


@handles("_native_batch_norm_legit_no_training", "batch_norm", "_batch_norm_with_update", "_batch_norm_no_update")
def _batch_norm_eval(b: Builder, op: Op) -> Result:
    return (_affine(b, b.arg(op, 0), 0.0, b.arg(op, 1), b.arg(op, 2), op), *(None for _ in range(4)))


@handles("native_group_norm")
def _group_norm(b: Builder, op: Op) -> Result:
    x = b.arg(op, 0)
    return (_affine(b, x, x.dims[1] if len(x.dims) > 1 else 0.0, b.arg(op, 1), b.arg(op, 2), op), None, None)


# -- nonlinearities ---------------------------------------------------------------------------------------------------
@handles("_softmax", "_log_softmax", "_safe_softmax", "softmax", "log_softmax", "special_log_softmax")
def _softmax(b: Builder, op: Op) -> Result:
    return b.make("softmax", (b.arg(op, 0),), op, signed="log" in op.name)


# name: (degree near zero, degree far out, entries have both signs). Degree 0 near zero: a nonzero value at zero.
ACTIVATIONS: dict[str, tuple[float, float, bool]] = {
    "gelu": (1, 1, True), "silu": (1, 1, True), "mish": (1, 1, True), "elu": (1, 1, True), "celu": (1, 1, True),
    "selu": (1, 1, True), "hardswish": (1, 1, True), "softplus": (0, 1, False), "tanh": (1, 0, True),
    "erf": (1, 0, True),
    "sigmoid": (0, 0, False), "hardsigmoid": (0, 0, False), "hardtanh": (1, 0, True),
    "log_sigmoid_forward": (0, 1, False),
    "log_sigmoid": (0, 1, False), "exp": (0, 0, False),
    "exp2": (0, 0, False), "expm1": (1, 0, True), "log": (0, 0, True),
    "log1p": (1, 0, True), "log2": (0, 0, True), "sin": (1, 0, True), "cos": (0, 0, True), "atan": (1, 0, True),
    "asinh": (1, 0, True), "softsign": (1, 0, True), "softshrink": (1, 1, True),
    "hardshrink": (1, 1, True), "erfc": (0, 0, False),
    "special_xlog1py": (1, 1, True), "logit": (1, 0, True), "sinc": (0, 0, True),
    "cosh": (0, 0, False), "sinh": (1, 0, True),
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
    ("rrelu_with_noise_functional", 1.0, True),
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
    base = p if isinstance(p, Value) else x
    return b.act(base, 0.0, 0.0, op, False)


# -- losses -----------------------------------------------------------------------------------------------------------
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
