"""What tells that a pass heard what another one did, so that its values need not be named again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from .logits import Logits


class Flat(NamedTuple):
    """What was heard, tensor by tensor. counts: how many of each; alike: of each the first that is the same tensor."""

    tensors: list[torch.Tensor]
    names: list[str]
    counts: list[int]
    alike: list[int]
    shapes: list[torch.Size]
    dtypes: list[torch.dtype]
    shown: list[int]

    @classmethod
    def of(cls, names: list[str], heard: Sequence[Sequence[torch.Tensor] | Logits]) -> Flat:
        """Of modules' names, the tensors that each returned, or its logits."""
        tensors: list[torch.Tensor] = []
        counts, shown = [], []
        for what in heard:
            if isinstance(what, Logits):
                tensors.append(what.values)
                shown.append(what.shown)
                counts.append(-1)
            else:
                tensors += what
                counts.append(len(what))
        first: dict[int, int] = {}
        alike = [first.setdefault(id(tensor), place) for place, tensor in enumerate(tensors)]
        shapes, dtypes = [tensor.shape for tensor in tensors], [tensor.dtype for tensor in tensors]
        return cls(tensors, names, counts, alike, shapes, dtypes, shown)


@dataclass(frozen=True)
class Outline:
    """A pass without its tensors. seen: its activations; places: of every slot, where its tensor is among all.

    logits: slots of attention logits, in the order in which they were heard.
    """

    rest: tuple[Any, ...]
    seen: tuple[Any, ...]
    places: list[int]
    logits: list[int]

    @classmethod
    def of(cls, flat: Flat, seen: Sequence[Any], values: Sequence[torch.Tensor]) -> Outline:
        """Of a pass whose activations have been named."""
        place = {id(tensor): place for place, tensor in enumerate(flat.tensors)}
        logits = [each.slot for each in seen if each.logits]
        return cls(flat[1:], tuple(seen), [place[id(value)] for value in values], logits)

    def values(self, flat: Flat) -> list[torch.Tensor] | None:
        """Slot by slot those of a pass that heard the same; None where it did not."""
        return [flat.tensors[place] for place in self.places] if flat[1:] == self.rest else None
