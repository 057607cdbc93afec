"""Numbers that stay on the device until all are fetched at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
import torch

from .streamed import promoted

Numbers = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
Labels = tuple[tuple[str, int], ...]  # of every number its name, and its column of the statistics
NOWHERE = -1


class Kept:
    """What was measured so far, as one long row of numbers."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Keep nothing."""
        self._pieces: list[torch.Tensor] = []
        self._count = 0

    def keep(self, pieces: Iterable[torch.Tensor]) -> int:
        """Keep all numbers of some tensors; the place of the first one."""
        first, known = self._count, len(self._pieces)
        self._pieces += pieces
        self._count += sum(piece.numel() for piece in self._pieces[known:])
        return first

    def fetch(self) -> Numbers:
        """All of them, in one transfer."""
        if not self._pieces:
            return np.empty(0)
        dtype = promoted(self._pieces)
        whole = torch.cat([piece.reshape(-1).to(dtype) for piece in self._pieces])
        return whole.cpu().numpy().astype(np.float64)


def places(rows: Sequence[int], first: int, members: int) -> Indices:
    """Where the numbers (K, n) of these rows of K stand, the rows counted from a place; `NOWHERE` stays."""
    column = np.array(rows, np.int64)
    found = first + column * members + np.arange(members)[:, None]
    return np.where(column == NOWHERE, NOWHERE, found)
