"""Products: entry by entry, and summed."""

from __future__ import annotations

from dataclasses import dataclass

from .operation import Operation, each


@dataclass(frozen=True)
class Multiplies(Operation):
    """x·y entry by entry, or x/y."""

    divides: bool = False


@dataclass(frozen=True)
class Turns(Operation):
    """x·exp(iy) entry by entry."""


@dataclass(frozen=True)
class Contracts(Operation):
    """A product of matrices (.., m, k) × (.., k, p), summed over k.

    first, second: which arguments the factors are. added: which one is added to the product, times beta (the fourth
    argument), while the product is taken times alpha (the fifth).
    """

    first: int = 0
    second: int = 1
    added: int | None = None


@dataclass(frozen=True)
class Linear(Operation):
    """(.., k) × (p, k) and a bias, as tensors that are not taken apart further (nested ones) have it."""


@dataclass(frozen=True)
class MultipliesVector(Operation):
    """A matrix, or a vector, times a vector. The arguments are as those of `Contracts`."""

    first: int = 0
    second: int = 1
    added: int | None = None


@dataclass(frozen=True)
class Convolves(Operation):
    """A convolution: weight (out, in / groups, *kernel), transposed (in, out / groups, *kernel)."""


@dataclass(frozen=True)
class FusedAttention(Operation):
    """softmax(q·kᵀ·scale)·v in one operation. mask: which argument adds to the logits, where it is no keyword."""

    mask: int | None = 3


@dataclass(frozen=True)
class Bilinear(Operation):
    """Σᵢⱼ xᵢ·Wₒᵢⱼ·yⱼ."""


@dataclass(frozen=True)
class Distances(Operation):
    """sqrt(Σ (x − y)²) over the last dim."""


@dataclass(frozen=True)
class Transforms(Operation):
    """A Fourier transform."""


@dataclass(frozen=True)
class SolvesTriangular(Operation):
    """A⁻¹·B."""


@dataclass(frozen=True)
class NormalisesWeight(Operation):
    """g · v / ‖v‖ (arXiv 1602.07868)."""


DECLARED: dict[str, Operation] = {
    **each(Multiplies(), "mul", "multiply"),
    **each(Multiplies(divides=True), "div", "divide", "true_divide"),
    "polar": Turns(),
    **each(Contracts(), "mm", "bmm", "_grouped_mm"),
    **each(Contracts(1, 2, added=0), "addmm", "baddbmm", "addbmm"),
    "linear": Linear(),
    **each(MultipliesVector(), "mv", "dot", "vdot"),
    "addmv": MultipliesVector(1, 2, added=0),
    **each(Convolves(), "convolution", "_convolution", "mkldnn_convolution"),
    "_scaled_dot_product_flash_attention_for_cpu": FusedAttention(mask=None),
    **each(FusedAttention(), "_scaled_dot_product_flash_attention", "_scaled_dot_product_efficient_attention",
           "_scaled_dot_product_cudnn_attention", "_scaled_dot_product_attention_math",
           "_scaled_dot_product_fused_attention_overrideable"),
    "_trilinear": Bilinear(),
    **each(Distances(), "_euclidean_dist", "_cdist_forward", "cdist"),
    **each(Transforms(), "_fft_r2c", "_fft_c2c", "_fft_c2r"),
    "linalg_solve_triangular": SolvesTriangular(),
    **each(NormalisesWeight(), "_weight_norm_interface", "_weight_norm"),
}  # fmt: skip
