"""What tells that a pass heard what another one did, so that its values need not be named again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from .logits import Logits


class Flat(NamedTuple):
    """What was heard, tensor by tensor.

    others: outputs that are not one tensor, by place: how many there are in it, or -1 and how many of logits are shown.
    """

    tensors: list[torch.Tensor]
    names: Sequence[str]
    others: list[tuple[int, int, int]]
    shapes: list[torch.Size]
    dtypes: list[torch.dtype]

    @classmethod
    def of(
        cls, names: Sequence[str], outputs: Sequence[Any], values: Callable[[str, Any], Sequence[torch.Tensor]]
    ) -> Flat:
        """Of modules' names, what each returned, or its logits. values: what counts of an output."""
        tensors: list[torch.Tensor] = []
        others = []
        for place, what in enumerate(outputs):
            if type(what) is torch.Tensor:
                tensors.append(what)
            elif type(what) is Logits:
                tensors.append(what.values)
                others.append((place, -1, what.shown))
            else:
                found = values(names[place], what)
                tensors += found
                others.append((place, len(found), 0))
        shapes, dtypes = [tensor.shape for tensor in tensors], [tensor.dtype for tensor in tensors]
        return cls(tensors, names, others, shapes, dtypes)


@dataclass(frozen=True)
class Outline:
    """A pass without its tensors. seen: its activations; places: of every slot, where its tensor is among all.

    twins: where a tensor is a second time, and where it was first. logits: slots of attention logits, as heard.
    """

    rest: tuple[Any, ...]
    seen: tuple[Any, ...]
    places: list[int]
    twins: list[tuple[int, int]]
    logits: list[int]

    @classmethod
    def of(cls, flat: Flat, seen: Sequence[Any], values: Sequence[torch.Tensor]) -> Outline:
        """Of a pass whose activations have been named."""
        first: dict[int, int] = {}
        twins = [(place, first[id(tensor)]) for place, tensor in enumerate(flat.tensors)
                 if first.setdefault(id(tensor), place) != place]  # fmt: skip
        logits = [each.slot for each in seen if each.logits]
        return cls(flat[1:], tuple(seen), [first[id(value)] for value in values], twins, logits)

    def values(self, flat: Flat) -> list[torch.Tensor] | None:
        """Slot by slot those of a pass that heard the same; None where it did not."""
        tensors = flat.tensors
        if flat[1:] != self.rest or any(tensors[place] is not tensors[first] for place, first in self.twins):
            return None
        return [tensors[place] for place in self.places]
