"""What a coordinate check measured: plain arrays, indexed [width, seed, step]. Free of torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Kind = Literal["hidden", "output", "logits", "stream", "added", "inside"]
STATISTICS = ("l2", "l1", "change_l2", "change_l1")
INTERRUPTED = "interrupted after "  # how the notice begins
PARAMETER_STATISTICS = ("grad_rms", "update_relative")


@dataclass(frozen=True)
class Activation:
    """One call of a module, or the attention logits in it.

    values: statistic → [width, seed, step]; NaN where it was not measured, infinite where the value was not finite.
    kind: hidden values grow with width, outputs do not, logits go into an attention softmax. Over depth: on the stream
        or outside of the blocks, what blocks add to the stream, and inside of blocks, each as a mean over all blocks.
    multiplier: width exponent of the constant that multiplies this module's weight in the forward pass, here or later;
        for a tied embedding the largest that may.
    predicted_*: what the audit expects; None where it knows nothing. Of the change, the linear response, and what is
        left of it at a usual learning rate, where normalisation and bounded functions cap it.
    ideal: exponent of the value where nothing blows up or vanishes, which constants on its way make other than 0.
    read: whether the loss reads it; logits_only: whether through attention logits alone.
    of_outputs: whether it is computed from outputs alone, as the step sizes of a state space layer are.
    """

    name: str
    module: str
    kind: Kind
    values: Mapping[str, Array]
    file: str | None = None
    line: int | None = None
    multiplier: float = 0.0
    predicted_init: float | None = None
    predicted_update: float | None = None
    predicted_capped: float | None = None
    ideal: float | None = None
    read: bool = True
    logits_only: bool = False
    of_outputs: bool = False

    @property
    def by_design(self) -> float:
        """The exponent that constants may give the value: exact for a hidden value that the audit understands."""
        if self.kind == "hidden" and self.ideal is not None:
            return self.ideal
        return -self.multiplier or (self.ideal or 0.0)


@dataclass(frozen=True)
class Measurement:
    """A whole run. `loss` is [width, seed, step] as well; `parameters` maps names to statistics of that shape.

    Step t is the state after t updates; a gradient at step t is taken there, an update leads from there.
    axis: what `widths` are, widths or depths (L). alpha: over depth, what one block adds may be of size L^-alpha.
    """

    target: str
    describe: str
    width_name: str
    widths: tuple[int, ...]
    steps: int
    seeds: int
    seed: int
    device: str
    dtype: str
    optimizer: str
    lr: float | None
    activations: tuple[Activation, ...]
    loss: Array
    parameters: Mapping[str, Mapping[str, Array]] = field(default_factory=dict)
    notices: tuple[str, ...] = ()
    audit_verdict: str | None = None
    axis: str = "width"
    alpha: float = 1.0

    @property
    def interrupted(self) -> bool:
        """Whether it was stopped before its end."""
        return any(notice.startswith(INTERRUPTED) for notice in self.notices)


def empty(widths: int, seeds: int, steps: int) -> Array:
    """Nothing measured yet, for `steps` updates."""
    return np.full((widths, seeds, steps + 1), np.nan)
