"""What a task is: data and a loss."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...targets.probe import Inputs

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class SweepTask:
    """Data and loss.

    batches: `(sizes, seed)` → inputs without end, the same at every width and hyperparameter.
    held_out: `(sizes)` → inputs that are not trained on, the same for every run; None where there are none.
    loss: `(output, inputs)` → scalar. describe: one line. identity: what tells these data from others, as plain data.
    """

    name: str
    describe: str
    identity: Mapping[str, Any]
    batches: Callable[[Mapping[str, int], int], Iterator[Inputs]]
    loss: Callable[[Any, Inputs], torch.Tensor]
    note: str = ""
    held_out: Callable[[Mapping[str, int]], Sequence[Inputs]] | None = None
