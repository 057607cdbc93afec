"""Operations that add, join, choose between and overwrite tensors: the largest exponent wins."""

from __future__ import annotations

from dataclasses import dataclass

from .operation import Operation, each


@dataclass(frozen=True)
class Adds(Operation):
    """x + alpha·y, or x − alpha·y."""


@dataclass(frozen=True)
class AddsProduct(Operation):
    """x + value·y·z, or x + value·y/z."""

    divides: bool = False


@dataclass(frozen=True)
class Interpolates(Operation):
    """x + w·(y − x)."""


@dataclass(frozen=True)
class Concatenates(Operation):
    """Tensors of a list side by side. along: the argument that says along which of their dims, where one does."""

    along: int | None = None


@dataclass(frozen=True)
class Chooses(Operation):
    """where(condition, x, y)."""


@dataclass(frozen=True)
class Extremes(Operation):
    """The larger, or the smaller, of two entries."""


@dataclass(frozen=True)
class Clamps(Operation):
    """Entries between two bounds."""


@dataclass(frozen=True)
class Writes(Operation):
    """Entries of one tensor put among those of another. source: which argument they are, and what it is called."""

    source: int
    keyword: str = "src"


@dataclass(frozen=True)
class Copies(Operation):
    """All entries replaced by those of the second argument."""


@dataclass(frozen=True)
class WrittenAlias(Operation):
    """The marker for a tensor whose storage another operation wrote."""


@dataclass(frozen=True)
class Creates(Operation):
    """New entries that depend on nothing, of size 1 or 0. unset: of whatever was in memory, which a
    program writes over."""

    zero: bool = False
    unset: bool = False


@dataclass(frozen=True)
class Masks(Operation):
    """Ones and zeros at random, as dropout draws them; the share of ones is argument number `share`."""

    share: int = 1


DECLARED: dict[str, Operation] = {
    **each(Adds(), "add", "sub", "rsub", "complex"),
    "addcmul": AddsProduct(),
    "addcdiv": AddsProduct(divides=True),
    "lerp": Interpolates(),
    **each(Concatenates(along=1), "cat", "concat"),
    **each(Concatenates(), "stack", "hstack", "vstack", "block_diag"),
    "where": Chooses(),
    **each(Extremes(), "maximum", "minimum", "fmax", "fmin"),
    **each(Clamps(), "clamp", "clamp_min", "clamp_max", "hardtanh"),
    **each(Writes(2, "source"), "index_put"),
    **each(Writes(3, "source"), "index_add", "index_copy"),
    **each(Writes(3), "scatter", "scatter_add", "scatter_reduce"),
    **each(Writes(2), "_index_put_impl", "masked_scatter", "put"),
    **each(Writes(1), "slice_scatter", "select_scatter", "diagonal_scatter"),
    **each(Copies(), "copy", "fill", "set_data"),
    "written_alias": WrittenAlias(),
    **each(Creates(zero=True), "zero", "zeros_like", "new_zeros"),
    **each(Creates(zero=True, unset=True), "empty_like", "new_empty", "new_empty_strided", "empty", "empty_strided"),
    **each(Creates(), "ones_like", "new_ones", "full_like", "rand_like", "randn_like", "new_full",
           "uniform", "normal", "sign"),
    "bernoulli": Masks(),
}  # fmt: skip
