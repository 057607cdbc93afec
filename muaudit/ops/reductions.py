"""Operations that sum one tensor up, or divide it by such a sum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .operation import Operation, each


@dataclass(frozen=True)
class Sums(Operation):
    """The sum, or the mean, over the dims that the second argument names."""

    mean: bool = False


@dataclass(frozen=True)
class Spreads(Operation):
    """The variance over dims, or its root; with the mean as a second output."""

    root: bool = False
    with_mean: bool = False


@dataclass(frozen=True)
class MeasuresNorm(Operation):
    """(Σ |x|ᵖ)^(1/p). order: what the argument p is called."""

    order: str


@dataclass(frozen=True)
class Normalises(Operation):
    """Entries over their root mean square, then a gain and a bias.

    over: the last dims, of the shape that the second argument is; the channels, which are the second dim, or groups of
    them; or the batch, which is finite. gain, bias: which arguments these are. outputs: how many there are. inverse:
    which output holds one over the standard deviation, where a weight may be standardised this way.
    """

    over: Literal["last", "channels", "batch"]
    gain: int
    bias: int | None = None
    outputs: int = 1
    inverse: int | None = None


@dataclass(frozen=True)
class Softmax(Operation):
    """Shares that add up to 1, or their logarithms."""

    log: bool = False


@dataclass(frozen=True)
class Loss(Operation):
    """What is trained: its arguments are outputs, which have to be of size 1. outputs: how many tensors it returns."""

    outputs: int = 1


DECLARED: dict[str, Operation] = {
    **each(Sums(), "sum", "nansum"),
    **each(Sums(mean=True), "mean", "nanmean"),
    "var": Spreads(),
    "std": Spreads(root=True),
    "var_mean": Spreads(with_mean=True),
    "std_mean": Spreads(root=True, with_mean=True),
    "linalg_vector_norm": MeasuresNorm("ord"),
    "norm": MeasuresNorm("p"),
    "native_layer_norm": Normalises("last", gain=2, bias=3, outputs=3),
    "rms_norm": Normalises("last", gain=2),
    "_fused_rms_norm": Normalises("last", gain=2, outputs=2),
    "native_group_norm": Normalises("channels", gain=1, bias=2, outputs=3),
    **each(Normalises("batch", gain=1, bias=2, outputs=5, inverse=2), "native_batch_norm", "_native_batch_norm_legit",
           "_native_batch_norm_legit_functional", "cudnn_batch_norm"),
    **each(Normalises("batch", gain=1, bias=2, outputs=5), "_native_batch_norm_legit_no_training", "batch_norm",
           "_batch_norm_with_update", "_batch_norm_no_update"),
    **each(Softmax(), "_softmax", "_safe_softmax", "softmax"),
    **each(Softmax(log=True), "_log_softmax", "log_softmax", "special_log_softmax"),
    **each(Loss(outputs=2), "nll_loss_forward", "nll_loss2d_forward", "_ctc_loss"),
    **each(Loss(), "nll_loss", "nll_loss_nd", "cross_entropy_loss", "mse_loss", "l1_loss", "smooth_l1_loss",
           "huber_loss", "binary_cross_entropy", "binary_cross_entropy_with_logits", "kl_div", "soft_margin_loss",
           "poisson_nll_loss", "hinge_embedding_loss", "margin_ranking_loss", "xlogy", "multi_margin_loss"),
}  # fmt: skip
