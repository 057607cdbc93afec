"""Small tensors packed into one buffer and measured together: a few calls in place of hundreds.

A call costs some microseconds whatever it works on, and a narrow model's activations are no more work than that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

SMALL = 2**19
"""Entries of all tensors together up to which they are packed: beyond, a processor is busy with the copies."""


@dataclass(frozen=True, eq=False)
class Layout:
    """How tensors (K, ...) are packed: those of one size side by side.

    order: their places, smallest first. numbers (S,): from a place to that in the order. groups: for each size n how
    many follow each other with it: (start, count, n).
    """

    order: tuple[int, ...]
    numbers: torch.Tensor
    groups: tuple[tuple[int, int, int], ...]

    def norms(self, flat: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """The norms (S, K) of the S tensors in a buffer (K, N), in their own order."""
        found = [torch.linalg.vector_norm(part, 2, -1, dtype=dtype) for part in self._parts(flat)]
        return self._ordered(found)

    def sums(self, flat: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """As `norms`, the sums of what is there."""
        return self._ordered([part.sum(-1, dtype=dtype) for part in self._parts(flat)])

    def _parts(self, flat: torch.Tensor) -> Iterator[torch.Tensor]:
        for start, count, size in self.groups:
            yield flat[:, start : start + count * size].view(len(flat), count, size)

    def _ordered(self, found: list[torch.Tensor]) -> torch.Tensor:
        return torch.cat(found, 1).index_select(1, self.numbers).t()


class Packer:
    """Packs tensors into buffers that are used again; what it found out about shapes that come again is kept."""

    def __init__(self) -> None:
        self._known: dict[tuple[torch.Size, ...], Layout | None] = {}
        self._buffers: dict[tuple[str, torch.dtype, int, int], torch.Tensor] = {}

    def layout(self, tensors: Sequence[torch.Tensor]) -> Layout | None:
        """How these are packed; None where they are no processor's, too large, empty, or of several types."""
        if not tensors or tensors[0].device.type != "cpu" or any(t.dtype != tensors[0].dtype for t in tensors):
            return None
        shapes = tuple(tensor.shape for tensor in tensors)
        if shapes not in self._known:
            self._known[shapes] = _layout(shapes)
        return self._known[shapes]

    def pack(self, tensors: Sequence[torch.Tensor], layout: Layout, name: str) -> torch.Tensor:
        """A copy of all, flat (K, N), in the buffer of this name."""
        members = len(tensors[0])
        flats = [tensors[place].reshape(members, -1) for place in layout.order]
        return torch.cat(flats, 1, out=self.buffer(name, tensors[0].dtype, members, sum(f.shape[1] for f in flats)))

    def buffer(self, name: str, dtype: torch.dtype, members: int, size: int) -> torch.Tensor:
        """The buffer (members, size) of this name, with what was last written there."""
        key = name, dtype, members, size
        if key not in self._buffers:
            self._buffers[key] = torch.empty((members, size), dtype=dtype)
        return self._buffers[key]


def _layout(shapes: tuple[torch.Size, ...]) -> Layout | None:
    members = shapes[0][0] if shapes[0] else 0
    if not members or any(not shape or shape[0] != members for shape in shapes):
        return None
    sizes = [shape.numel() // members for shape in shapes]
    if not all(sizes) or sum(sizes) * members > SMALL:
        return None
    order = sorted(range(len(shapes)), key=sizes.__getitem__)
    groups: list[tuple[int, int, int]] = []
    start = 0
    for place in order:
        if groups and groups[-1][2] == sizes[place]:
            groups[-1] = groups[-1][0], groups[-1][1] + 1, sizes[place]
        else:
            groups.append((start, 1, sizes[place]))
        start += sizes[place]
    numbers = [0] * len(order)
    for number, place in enumerate(order):
        numbers[place] = number
    return Layout(tuple(order), torch.tensor(numbers), tuple(groups))
