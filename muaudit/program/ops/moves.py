"""Operations that move, select or add entries."""

from __future__ import annotations

from typing import Any

from ...trace.align import Op
from ..builder import HANDLERS, Builder, Number, Result, handles
from ..values import ZERO, Value

NEGLIGIBLE = 1e-3  # a width-independent addend this small is a guard against division by zero
OUT_OF_REACH = 1e3  # a bound this large guards against overflow; a tensor of this size, added, is a mask

# the same entries: moved, repeated, selected, cast
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
    "diag",
    "diag_embed",
    "diagonal_copy",
    "view_copy",
    "zero_pad",
    "max_pool3d_with_indices",
    "avg_pool3d",
    "_nested_get_values",
    "_nested_view_from_jagged",
    "_nested_view_from_buffer",
    "to_padded_tensor",
]


@handles("getitem_view", *VIEWS)
def _view(b: Builder, op: Op) -> Result:
    x = b.arg(op, 0)
    if not isinstance(x, Value):
        return b.unknown(op, (), f"{op.name} without a tensor argument")
    if x.kind == "data":
        return b.make("data", (), op, c=x.c)
    return b.view(x, op)


@handles("function_input")
def _function_input(b: Builder, op: Op) -> Result:
    """Into a custom function: the same entries forwards; backwards, the ratio of its gradient to the derivative."""
    x = b.arg(op, 0)
    if x.kind == "data":
        return b.make("data", (), op, c=x.c)
    value = b.view(x, op)
    value.back = b.backward_exponent(op)
    return value


@handles("cumsum", "cummax", "cummin")
def _cumulative(b: Builder, op: Op) -> Result:
    """Sums or extremes along positions; along a growing dim the entries would grow with their place."""
    x, dim = b.arg(op, 0), op.narrow.args[1] if len(op.narrow.args) > 1 else op.narrow.kwargs.get("dim", 0)
    if isinstance(dim, int) and x.dims and x.dims[dim] > 0:
        return b.unknown(op, (x,), f"{op.name} along a dim that grows with width")
    return b.view(x, op)


@handles("clamp", "clamp_min", "clamp_max", "hardtanh")
def _clamp(b: Builder, op: Op) -> Result:
    """Bounds give a function its own scale, unless they are 0, a guard against division by zero, or out of reach."""
    x, low, high = b.arg(op, 0), b.arg(op, 1, "min"), b.arg(op, 2, "max")
    bounds = [bound for bound in (low, high) if bound is not None and not isinstance(bound, bool)]
    numbers = [abs(bound.narrow) for bound in bounds if isinstance(bound, Number)]
    numbers += [rms for bound in bounds if isinstance(bound, Value) and (rms := _constant(bound)) is not None]
    if len(numbers) == len(bounds) and all(n <= NEGLIGIBLE or n >= OUT_OF_REACH for n in numbers):
        return b.power(x, 1.0, op, x.signed) if any(n <= NEGLIGIBLE for n in numbers) else b.view(x, op)
    return b.act(x, 1.0, 0.0 if len(bounds) == 2 else 1.0, op, x.signed)


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


# sums
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


@handles("addcmul", "addcdiv")
def _addcmul(b: Builder, op: Op) -> Result:
    x, y, z, value = b.arg(op, 0), b.arg(op, 1), b.arg(op, 2), b.arg(op, 3, "value")
    product = b.mul(y, b.power(z, -1.0, op, z.signed) if "addcdiv" in op.name else z, op)
    return _sum(b, [x, b.scale(product, value.exponent, op) if isinstance(value, Number) else product], op)


@handles("lerp")
def _lerp(b: Builder, op: Op) -> Result:
    """x + w·(y − x) = (1 − w)·x + w·y; where w falls with the width, what is left of x is x."""
    x, y, weight = b.arg(op, 0), b.arg(op, 1), b.arg(op, 2)
    if isinstance(weight, Value):
        rest = x if weight.kind == "data" and weight.c < 0 else b.mul(x, weight, op)
        return _sum(b, [x, b.mul(y, weight, op), rest], op)
    share = b.scale(y, weight.exponent if weight.narrow else ZERO, op)
    return _sum(b, [x, share] if weight.exponent <= 0 else [b.scale(x, weight.exponent, op), share], op)


@handles("cat", "stack", "hstack", "vstack", "concat")
def _cat(b: Builder, op: Op) -> Result:
    parts = [p for p in b.arg(op, 0) if isinstance(p, Value)]
    whole = b.join(parts, op, op.dims)
    b.pieces.join(op, parts, whole)
    return whole


@handles("where")
def _where(b: Builder, op: Op) -> Result:
    """Selection; a constant branch (a mask value) says nothing about size."""
    branches = [v for v in (b.arg(op, 1), b.arg(op, 2)) if isinstance(v, Value) and v.kind != "data"]
    return b.join(branches, op, op.dims) if branches else b.make("data", (), op, c=0.0)


@handles("maximum", "minimum", "fmax", "fmin")
def _maximum(b: Builder, op: Op) -> Result:
    x, y = b.arg(op, 0), b.arg(op, 1, "other")
    if x.kind != "data" and y.kind != "data":
        return b.join([x, y], op, op.dims)
    value, bound = (x, y) if y.kind == "data" else (y, x)
    return b.view(value, op) if bound.c == ZERO or _negligible(bound) else b.act(value, 1.0, 1.0, op, value.signed)


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
