"""Numbers that stay on the device until all are fetched at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from .streamed import promoted

Numbers = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
Labels = tuple[tuple[str, int], ...]  # of every number its name, and its column of the statistics
NOWHERE = -1


class Fold(NamedTuple):
    """How numbers (R, ..., chunks) become numbers of tensors, which begin at some of their chunks.

    norms: how many rows, the first ones, are norms; others are sums.
    """

    starts: Indices
    chunks: int
    norms: int

    def count(self, chunks: int) -> int:
        """How many numbers become of so many."""
        return chunks // self.chunks * len(self.starts)

    def of(self, numbers: Numbers) -> Numbers:
        """Numbers (R, ..., tensors)."""
        numbers = numbers.copy()
        with np.errstate(over="ignore"):  # double precision's own norms are infinite there as well
            np.square(numbers[: self.norms], out=numbers[: self.norms])
        found: Numbers = np.add.reduceat(numbers, self.starts, -1)
        np.sqrt(found[: self.norms], out=found[: self.norms])
        return found


class Kept:
    """What was measured so far, as one long row of numbers."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Keep nothing."""
        self._pieces: list[torch.Tensor] = []
        self._folds: list[Fold | None] = []
        self._count = 0

    def keep(self, pieces: Iterable[torch.Tensor], fold: Fold | None = None) -> int:
        """Keep all numbers of some tensors, or what becomes of them; the place of the first one."""
        first = self._count
        for piece in pieces:
            self._pieces.append(piece)
            self._folds.append(fold)
            self._count += piece.numel() if fold is None else fold.count(piece.numel())
        return first

    def fetch(self) -> Numbers:
        """All of them, in one transfer."""
        if not self._pieces:
            return np.empty(0)
        dtype = promoted(self._pieces)
        whole = torch.cat([piece.reshape(-1) for piece in self._pieces]).to(dtype).cpu().numpy().astype(np.float64)
        found: list[Numbers] = []
        end = 0
        for piece, fold in zip(self._pieces, self._folds, strict=True):
            start, end = end, end + piece.numel()
            part = whole[start:end]
            found.append(part if fold is None else fold.of(part.reshape(piece.shape)).reshape(-1))
        return np.concatenate(found)


def places(rows: Sequence[int], first: int, members: int) -> Indices:
    """Where the numbers (K, n) of these rows of K stand, the rows counted from a place; `NOWHERE` stays."""
    column = np.array(rows, np.int64)
    found = first + column * members + np.arange(members)[:, None]
    return np.where(column == NOWHERE, NOWHERE, found)
