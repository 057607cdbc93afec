"""Which entries of a parameter an optimizer's step treats together.

The whole of it where it is orthogonalised as one matrix, a third of its rows where queries, keys and values are taken
apart before, one expert of a stack, one entry under Adam. Found by running: a large entry of the gradient gets the
other sign, which leaves all norms as they are, and what then moves otherwise was treated together with it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from ..thresholds import ANOTHER_STEP, GRADIENT_FACTOR
from .running import Setup, Stepped

MOST_PIECES = 16  # along one dim, where they are not all alike

Run = Callable[[Setup], Stepped]
Indices = tuple[int, ...]
Piece = tuple[Indices, ...]


@dataclass(frozen=True)
class Treated:
    """Along every dim of a parameter, the sets of indices that are treated together; each index is in one of them."""

    dims: tuple[tuple[Indices, ...], ...]

    @property
    def size(self) -> tuple[int, ...]:
        """The shape of the parameter."""
        return tuple(sum(map(len, sets)) for sets in self.dims)


def together_with_first(run: Run, shape: Sequence[int]) -> Piece:
    """Along every dim, the indices of what is treated together with the first entry."""
    return _together(run, tuple(shape), (0,) * len(shape))


def pieces(run: Run, shape: Sequence[int]) -> Treated | None:
    """All of them; None where they are too many and not alike."""
    known: dict[Indices, Piece] = {}
    found = []
    for dim, size in enumerate(shape):

        def along(index: int, dim: int = dim) -> Indices:
            place = tuple(index if each == dim else 0 for each in range(len(shape)))
            if place not in known:
                known[place] = _together(run, tuple(shape), place)
            return known[place][dim]

        sets = _sets(along, size)
        if sets is None:
            return None
        found.append(sets)
    return Treated(tuple(found))


def taken(tensor: torch.Tensor, piece: Piece) -> torch.Tensor:
    """A piece of a tensor, without the dims of which it holds one index."""
    for dim, indices in enumerate(piece):
        tensor = tensor.index_select(dim, torch.tensor(indices))
    kept = [size for size, indices in zip(tensor.shape, piece, strict=True) if len(indices) > 1]
    return tensor.reshape(kept)


def _together(run: Run, shape: tuple[int, ...], place: Indices) -> Piece:
    one, other = (run(Setup(shape, full=True, large=(place, sign * GRADIENT_FACTOR))) for sign in (1, -1))
    moved = (one.change - other.change).abs() > ANOTHER_STEP * one.rms
    moved[place] = True
    rows = [moved.movedim(dim, 0).reshape(size, -1).any(1) for dim, size in enumerate(shape)]
    return tuple(tuple(row.nonzero().flatten().tolist()) for row in rows)


def _sets(along: Callable[[int], Indices], size: int) -> tuple[Indices, ...] | None:
    """The sets of indices of one dim. Where the first two are alike, so are all if the last one is as they foretell."""
    found: list[Indices] = []
    left = list(range(size))
    while left and len(found) < MOST_PIECES:
        found.append(along(left[0]))
        left = [index for index in left if index not in found[-1]]
        if len(found) == 2 and left:
            alike = _alike(found[0], found[1], size)
            if alike and along(left[-1]) in alike:
                return alike
    return None if left else tuple(found)


def _alike(first: Indices, second: Indices, size: int) -> tuple[Indices, ...]:
    """All sets, if they are the first one moved on by the same number each time; nothing where that does not fit."""
    by = second[0] - first[0]
    if tuple(index + by for index in first) != second:
        return ()
    sets = [tuple(index + number * by for index in first) for number in range(size // max(1, len(first)))]
    held = sorted(index for each in sets for index in each)
    return tuple(sets) if held == list(range(size)) else ()
