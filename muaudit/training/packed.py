"""Small tensors packed side by side and measured together: a few calls in place of hundreds.

A call costs some microseconds whatever it works on, and a narrow model's activations are no more work than that.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from math import gcd

import numpy as np
import torch

from .kept import Fold, Indices
from .streamed import Scratch, Tensors, promoted

_SMALL = 2**17
"""Entries of a tensor up to which it is packed, and of a block: a processor's cache holds two of them."""


_TOGETHER, _MOST = 2**20, 4
"""Up to how many entries of how many steps are kept to be measured together."""


_CHUNKS = 512
"""So many numbers more are as costly as another call: it takes 4 microseconds and more, each of them some 5 ns."""


class Block:
    """Tensors of K members, smallest first, cut into chunks of equal size: a call measures all of one size.

    places: which tensors, of what sizes. begin: how many chunks stand in the blocks before; starts: in which of its own
    each tensor begins.
    """

    def __init__(self, places: Sequence[int], sizes: Sequence[int], begin: int) -> None:
        self.places, self.sizes, self.begin, self.width = list(places), list(sizes), begin, sum(sizes)
        self._runs = _runs(sizes)
        ends = np.cumsum([0, *sizes])  # of chunks and of tensors, in entries
        chunks = np.cumsum([0, *(size for count, size in self._runs for _ in range(count))])
        self.starts = np.searchsorted(chunks, ends[:-1]).tolist()
        self.chunks = len(chunks) - 1

    def chosen(self, tensors: Tensors) -> list[torch.Tensor]:
        """Its own among all."""
        return [tensors[place] for place in self.places]

    def views(self, whole: torch.Tensor, shapes: Sequence[torch.Size]) -> list[torch.Tensor]:
        """Where each of its own, of these shapes, stands in (K, n)."""
        parts: Sequence[torch.Tensor] = torch.split(whole, self.sizes, -1)
        return [part.view(shapes[place]) for place, part in zip(self.places, parts, strict=True)]

    def parts(self, rows: torch.Tensor) -> list[torch.Tensor]:
        """Of rows (R, K, n), the chunks of one size each: views (R, K, count, size)."""
        parts = torch.split(rows, [count * size for count, size in self._runs], -1)
        return [part.view(*rows.shape[:2], *run) for part, run in zip(parts, self._runs, strict=True)]

    def places_in(self, found: torch.Tensor) -> Sequence[torch.Tensor]:
        """Of numbers (..., chunks of all blocks), those for each of its `parts`."""
        ours = found[..., self.begin : self.begin + self.chunks]
        return torch.split(ours, [count for count, _ in self._runs], -1)


class Packed:
    """Which tensors are packed, block by block, and which are too `large`. many: of how many steps at once.

    columns: place → its column among the numbers of a row once they are those of tensors, not of chunks; those that
    are packed before those that are not.
    """

    def __init__(self, tensors: Tensors, members: int) -> None:
        self.shapes, self.dtype, self.members = [tensor.shape for tensor in tensors], tensors[0].dtype, members
        self.wide = promoted(tensors[:1])
        sizes = [tensor.numel() // members for tensor in tensors]
        small = [place for place, tensor in enumerate(tensors) if 0 < tensor.numel() <= _SMALL]
        self.large = [place for place in range(len(tensors)) if place not in {*small}]
        self.blocks: list[Block] = []
        small.sort(key=sizes.__getitem__)
        order: list[int] = []
        starts: list[int] = []
        self._chunks = 0
        while len(order) < len(small):
            ends = np.cumsum([sizes[place] for place in small[len(order) :]]) * members
            chosen = small[len(order) :][: max(1, int(np.searchsorted(ends, _SMALL, "right")))]
            self.blocks.append(block := Block(chosen, [sizes[place] for place in chosen], self._chunks))
            starts += [self._chunks + start for start in block.starts]
            self._chunks += block.chunks
            order += chosen
        self.many = 1 if self.large else max(1, min(_MOST, _TOGETHER // max(1, members * sum(sizes))))
        self._starts = np.array(starts + [self._chunks + place for place in range(len(self.large))], np.int64)
        self.columns = np.empty(len(tensors), np.int64)
        self.columns[[*order, *self.large]] = np.arange(len(tensors))

    def store(self) -> list[torch.Tensor]:
        """Memory (K, n) for each block."""
        return [torch.empty((self.members, block.width), dtype=self.dtype) for block in self.blocks]

    def rows(self, count: int, scratch: Scratch) -> list[torch.Tensor]:
        """Rows (count, K, n) for each block, which they share."""
        return [scratch.tensor((count, self.members, block.width), self.dtype) for block in self.blocks]

    def of_large(self, found: torch.Tensor) -> torch.Tensor:
        """Of numbers, those of the large ones (..., K, large)."""
        return found[..., self._chunks :]

    def fold(self, norms: int) -> Fold:
        """What makes numbers of tensors of those of chunks; of the rows the first ones are norms."""
        return Fold(self._starts, self._chunks + len(self.large), norms)

    def numbers(self, *rows: int) -> torch.Tensor:
        """Memory for a number a chunk, (..., K, chunks), the large ones last."""
        return torch.zeros((*rows, self.members, self._chunks + len(self.large)), dtype=self.wide)

    def index(self, *rows: int) -> Indices:
        """Where a tensor's number (..., K, tensors) stands in what becomes of such memory."""
        count = len(self.shapes)
        whole = np.arange(int(np.prod(rows)) * self.members * count).reshape(*rows, self.members, count)
        return whole[..., self.columns]


def _runs(sizes: Sequence[int]) -> list[tuple[int, int]]:
    """Ascending sizes as chunks: how many of what size follow each other; few sizes, unless that makes many chunks."""
    runs: list[tuple[int, int]] = []
    for size, same in groupby(sizes):
        number = len([*same])
        if runs:
            count, chunk = runs[-1]
            common = gcd(chunk, size)
            joint = (count * chunk + number * size) // common
            if joint - count - number <= _CHUNKS:
                runs[-1] = (joint, common)
                continue
        runs.append((number, size))
    return runs


def packed(tensors: Tensors, members: int) -> Packed | None:
    """How these are packed; None where they are no processor's, or not of one real type."""
    first = next(iter(tensors), None)
    if first is None or first.device.type != "cpu" or first.is_complex():
        return None
    return Packed(tensors, members) if all(tensor.dtype == first.dtype for tensor in tensors) else None


def fits(layout: Packed, tensors: Tensors) -> bool:
    """Whether these are of the shapes and the type that it is for."""
    return [tensor.shape for tensor in tensors] == layout.shapes and all(t.dtype == layout.dtype for t in tensors)


def put_norms(parts: Sequence[torch.Tensor], found: Sequence[torch.Tensor], wide: torch.dtype) -> None:
    """Measure what is packed, into numbers (R, K, count)."""
    for part, numbers in zip(parts, found, strict=True):
        torch.linalg.vector_norm(part, 2, -1, dtype=wide, out=numbers)


def put_sums(parts: Sequence[torch.Tensor], found: Sequence[torch.Tensor], wide: torch.dtype) -> None:
    """As `put_norms`."""
    for part, numbers in zip(parts, found, strict=True):
        torch.sum(part, -1, dtype=wide, out=numbers)
