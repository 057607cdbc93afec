"""Operations that move, repeat, select, cast or pool entries: sizes stay as they are."""

from __future__ import annotations

from dataclasses import dataclass

from .operation import Operation, each


@dataclass(frozen=True)
class Moves(Operation):
    """Every entry of the result is as large as entries of the first argument are.

    exact: it is one of these entries, and which one follows from shapes and numbers alone: running the operation on
    the numbers of entries says where each has come from. stops: no gradient passes.
    """

    exact: bool = False
    stops: bool = False


@dataclass(frozen=True)
class Parts(Moves):
    """Several pieces at once, which are told apart by what takes one of them."""


@dataclass(frozen=True)
class Diagonal(Operation):
    """A matrix with the entries of the argument on its diagonal, and zeros beside it."""


@dataclass(frozen=True)
class Samples(Operation):
    """Entries of one tensor, interpolated at the places that the second argument holds."""


@dataclass(frozen=True)
class Accumulates(Operation):
    """Sums or extremes along positions, all of them kept."""


@dataclass(frozen=True)
class Looks(Operation):
    """Rows of a table, by data. outputs: how many tensors it returns."""

    outputs: int = 1


@dataclass(frozen=True)
class Indexes(Operation):
    """x[indices]: rows of a table where x is one and the indices are data, else entries of x."""


@dataclass(frozen=True)
class EntersFunction(Operation):
    """The marker in front of a custom autograd function: the same entries forwards."""


@dataclass(frozen=True)
class SizedByData(Operation):
    """How many entries there are depends on values: such sizes are finite, whatever they do between two widths."""


_EXACT = (
    "view", "_unsafe_view", "reshape", "_reshape_alias", "t", "transpose", "permute", "squeeze", "unsqueeze", "flatten",
    "unflatten", "movedim", "swapaxes", "slice", "select", "narrow", "contiguous", "clone", "alias",
)  # fmt: skip
_CAST = ("_to_copy", "to", "lift_fresh", "positive", "nan_to_num")
_COMPLEX = ("view_as_complex", "view_as_real", "_conj", "conj", "real", "imag", "resolve_conj", "resolve_neg", "neg")
_REPEATED = (
    "expand", "repeat", "repeat_interleave", "tile", "constant_pad_nd", "pad", "reflection_pad1d",
    "reflection_pad2d", "replication_pad1d", "replication_pad2d", "unfold", "im2col", "col2im",
)  # fmt: skip
_ORDERED = (
    "as_strided", "roll", "flip", "rot90", "pixel_shuffle", "pixel_unshuffle", "channel_shuffle", "sort", "msort",
    "view_copy", "diagonal", "diagonal_copy", "_nested_get_values", "_nested_view_from_jagged",
    "_nested_view_from_buffer", "to_padded_tensor",
)  # fmt: skip
_SELECTED = (
    "gather", "index_select", "take_along_dim", "take", "topk", "amax", "amin", "max", "min", "median", "mode",
    "kthvalue", "copysign", "_pack_padded_sequence", "_pad_packed_sequence", "max_pool1d", "max_pool2d_with_indices",
    "max_pool3d_with_indices", "adaptive_max_pool2d", "adaptive_max_pool3d",
)  # fmt: skip
_MASKED = ("tril", "triu", "masked_fill", "fill_diagonal", "dropout", "alpha_dropout", "native_dropout")
_AVERAGED = (  # over positions, which are as alike as one another
    "avg_pool1d", "avg_pool2d", "avg_pool3d", "adaptive_avg_pool1d", "adaptive_avg_pool2d", "_adaptive_avg_pool2d",
    "_adaptive_avg_pool3d", "upsample_nearest1d", "upsample_nearest2d", "_upsample_nearest_exact1d",
    "_upsample_nearest_exact2d", "upsample_linear1d", "upsample_bilinear2d", "_upsample_bilinear2d_aa",
    "upsample_bicubic2d", "affine_grid_generator", "segment_reduce",
)  # fmt: skip

DECLARED: dict[str, Operation] = {
    **each(Moves(exact=True), *_EXACT),
    "detach": Moves(exact=True, stops=True),
    **each(Parts(exact=True), "split", "split_with_sizes", "chunk", "unbind", "tensor_split", "unsafe_split",
           "unsafe_chunk"),
    "getitem": Moves(exact=True),  # one of several outputs
    **each(Moves(), *_CAST, *_COMPLEX, *_REPEATED, *_ORDERED, *_SELECTED, *_MASKED, *_AVERAGED),
    "diag_embed": Diagonal(),
    **each(Samples(), "grid_sampler_2d", "grid_sampler_3d"),
    **each(Accumulates(), "cumsum", "cummax", "cummin"),
    "embedding": Looks(),
    **each(Looks(outputs=4), "_embedding_bag", "embedding_bag", "_embedding_bag_forward_only"),
    "index": Indexes(),
    "function_input": EntersFunction(),
    **each(SizedByData(), "nonzero", "masked_select", "_unique", "_unique2", "unique_consecutive",
           "bincount"),
}  # fmt: skip
