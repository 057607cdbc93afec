"""Sizes of activations, gradients and updates, computed on the device and fetched once.

Every tensor holds the entries of K models that are trained together, those of the first before those of the second.
Sizes are root mean square (l2) and mean absolute value (l1), accumulated in at least single precision.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

import torch

from .kept import Kept, Labels, Numbers
from .listener import Seen
from .pass_sizes import Pass, PassSizes
from .streamed import Scratch, Tensors
from .update_sizes import Update, UpdateSizes

Kind = Literal["loss", "activation", "parameter"]


class StepNumbers(NamedTuple):
    """Numbers (n, K), or (n,) of one model, of one step. labels: name and column of each of the n."""

    kind: Kind
    step: int
    labels: Labels
    numbers: Numbers


class SizeOf(NamedTuple):
    """What one number is of."""

    kind: Kind
    name: str
    column: int
    step: int


class Sizes:
    """Numbers (K,) of every step.

    Activations have the columns of `measurement.STATISTICS`, parameters those of `measurement.PARAMETER_STATISTICS`.
    seen: activations by name. reshaped: names of those that had another shape in a later pass, or were not in it, like
    the tokens that are routed to an expert.
    """

    def __init__(self, members: int = 1) -> None:
        self.members, self._kept = members, Kept()
        self._passes, self._updates = PassSizes(members, self._kept, Scratch()), UpdateSizes(members, self._kept)
        self.clear()

    def clear(self) -> None:
        """Forget all numbers. A processor's memory stays: the next run may ask for the same."""
        self.seen: dict[str, Seen] = {}
        self._measured: list[tuple[int, Pass | Update]] = []
        self._losses: list[tuple[int, int]] = []  # step and place
        self._last: tuple[Seen, ...] = ()
        self._kept.clear()
        self._passes.clear()
        self._updates.clear()

    @property
    def reshaped(self) -> set[str]:
        """Names of activations whose passes cannot be compared."""
        return self._passes.reshaped

    @torch.no_grad()
    def activations(
        self, step: int, seen: Sequence[Seen], values: Tensors, shares: Mapping[int, torch.Tensor],
        stored: Iterable[torch.Tensor] = (),
    ) -> None:  # fmt: skip
        """The sizes of this pass, and of the change since that of step 0; values and shares (K,) by slot.

        stored: what training changes in place; the first pass's values are kept, and must not be views of it.
        """
        self._measured.append((step, self._passes.measure(seen, values, shares, stored, step == 0)))
        if tuple(seen) != self._last:
            self._last = tuple(seen)
            self.seen |= {each.name: each for each in seen}

    @torch.no_grad()
    def gradients(self, parameters: Mapping[str, torch.Tensor], gradients: Mapping[str, torch.Tensor]) -> None:
        """Before an update: the gradients' root mean squares; the parameters are kept for `updates`."""
        self._updates.before(parameters, gradients)

    @torch.no_grad()
    def updates(self, step: int, parameters: Mapping[str, torch.Tensor], still: bool = False) -> None:
        """After it: the norm of the update relative to that of the parameter.

        still: nothing but the next update, measured too, changes the parameters; what autograd sees would be noticed.
        """
        self._measured.append((step, self._updates.after(parameters, still)))

    def loss(self, step: int, losses: torch.Tensor) -> None:
        """Losses (K,)."""
        self._losses.append((step, self._kept.keep([losses.detach()])))

    def tables(self) -> Iterator[StepNumbers]:
        """Everything, in one transfer; not a number: what is relative to zero, and what was nowhere to be found."""
        self._passes.finish()
        self._updates.finish()
        kept = self._kept.fetch()
        for step, place in self._losses:
            yield StepNumbers("loss", step, (("", 0),), kept[None, place : place + self.members])
        for step, each in self._measured:
            kind: Kind = "activation" if isinstance(each, Pass) else "parameter"
            if not each.index.size:  # interrupted while it was measured
                continue
            yield StepNumbers(kind, step, each.labels, each.numbers(kept))

    def fetch(self) -> Iterator[tuple[SizeOf, list[float]]]:
        """Place by number, what `tables` has."""
        for table in self.tables():
            for (name, column), numbers in zip(table.labels, table.numbers.tolist(), strict=True):
                yield SizeOf(table.kind, name, column, table.step), numbers
