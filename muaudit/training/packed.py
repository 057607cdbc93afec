"""Small tensors packed into one buffer and measured together: a few calls in place of hundreds.

A call costs some microseconds whatever it works on, and a narrow model's activations are no more work than that.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from .kept import Indices

SMALL = 2**19
"""Entries of all tensors together up to which they are packed: beyond, a processor is busy with the copies."""


class Packed:
    """Rows, each of which holds S tensors of K members: what they are now, what they were, how they have changed.

    Those of one size stand side by side, so that their norms are one call.
    """

    def __init__(self, tensors: Sequence[torch.Tensor], members: int, rows: int) -> None:
        self.members, self.shapes, self.dtype = members, [tensor.shape for tensor in tensors], tensors[0].dtype
        self._sizes = [tensor.numel() // members for tensor in tensors]
        self._order = sorted(range(len(tensors)), key=self._sizes.__getitem__)
        self._buffer = torch.empty((rows, members, sum(self._sizes)), dtype=self.dtype)
        self.rows = [self._buffer[row] for row in range(rows)]  # (K, N) each
        self._groups = _groups([self._sizes[place] for place in self._order])
        self._parts: dict[tuple[int, int], list[torch.Tensor]] = {}
        self._wide = torch.promote_types(self.dtype, torch.float32)

    def write(self, row: int, tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        """Copy them there; the row (K, N)."""
        if self.members == 1:
            torch.cat([tensors[place].reshape(-1) for place in self._order], out=self.rows[row][0])
        else:
            torch.cat([tensors[place].reshape(self.members, -1) for place in self._order], 1, out=self.rows[row])
        return self.rows[row]

    def views(self, row: int) -> list[torch.Tensor]:
        """What stands there, tensor by tensor."""
        parts = torch.split(self.rows[row], [self._sizes[place] for place in self._order], 1)
        found = dict(zip(self._order, parts, strict=True))
        return [found[place].view(shape) for place, shape in enumerate(self.shapes)]

    def norms(self, start: int, stop: int) -> list[torch.Tensor]:
        """Of the tensors in these rows; (rows, K, count) for every size."""
        parts = self._grouped(start, stop)
        return [torch.linalg.vector_norm(part, 2, -1, dtype=self._wide) for part in parts]

    def absolute_sums(self, start: int, stop: int) -> list[torch.Tensor]:
        """As `norms`; the rows hold absolute values afterwards."""
        self._buffer[start:stop].abs_()
        return [part.sum(-1, dtype=self._wide) for part in self._grouped(start, stop)]

    def index(self, rows: int) -> Indices:
        """Where the number of a row, member and tensor (rows, K, S) stands among all that `norms` returns."""
        found = np.empty((rows, self.members, len(self.shapes)), np.int64)
        base = 0
        for start, count, _ in self._groups:
            block = base + np.arange(rows * self.members * count).reshape(rows, self.members, count)
            found[:, :, self._order[start : start + count]] = block
            base += block.size
        return found

    def _grouped(self, start: int, stop: int) -> list[torch.Tensor]:
        """Views (rows, K, count, n) of the tensors of every size."""
        if (start, stop) not in self._parts:
            sizes = [count * size for _, count, size in self._groups]
            parts = torch.split(self._buffer[start:stop], sizes, -1)
            self._parts[start, stop] = [
                part.view(*part.shape[:2], count, size)
                for part, (_, count, size) in zip(parts, self._groups, strict=True)
            ]
        return self._parts[start, stop]


def packed(tensors: Sequence[torch.Tensor], members: int, rows: int) -> Packed | None:
    """Rows for these; None where they are no processor's, too large, empty, or of several types."""
    if not tensors or tensors[0].device.type != "cpu" or any(t.dtype != tensors[0].dtype for t in tensors):
        return None
    sizes = [tensor.numel() for tensor in tensors]
    return Packed(tensors, members, rows) if all(sizes) and sum(sizes) <= SMALL else None


def fits(rows: Packed, tensors: Sequence[torch.Tensor]) -> bool:
    """Whether these are of the shapes and the type that the rows are for."""
    return [tensor.shape for tensor in tensors] == rows.shapes and all(t.dtype == rows.dtype for t in tensors)


def _groups(sizes: Sequence[int]) -> list[tuple[int, int, int]]:
    """(start, count, size) of neighbours of one size."""
    found: list[tuple[int, int, int]] = []
    for place, size in enumerate(sizes):
        if found and found[-1][2] == size:
            found[-1] = found[-1][0], found[-1][1] + 1, size
        else:
            found.append((place, 1, size))
    return found
