"""Sizes of what a forward pass computes, and of its change since the first pass."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress

import numpy as np
import torch

from .kept import NOWHERE, Indices, Kept, Numbers, places
from .listener import Seen
from .packed import Packed, fits, packed
from .streamed import Pair, Scratch, Tensors, block_by_block, many_at_once

_NOW, _CHANGE, _FIRST = range(3)  # rows of what is packed


@dataclass(frozen=True)
class Pass:
    """index (2 or 4, K, n): where norms and absolute sums of n values, and of their changes, are kept.

    shares: place among the values → where the shares (K,) of entries that count are kept.
    """

    seen: tuple[Seen, ...]
    index: Indices
    shares: Mapping[int, int]

    @property
    def labels(self) -> list[tuple[str, int]]:
        """Name and column of every number, column by column, without those that are nowhere."""
        every = [(each.name, column) for column in range(len(self.index)) for each in self.seen]
        there = self.index[:, 0].reshape(-1) != NOWHERE
        return every if there.all() else [*compress(every, there)]

    def numbers(self, kept: Numbers) -> Numbers:
        """Root mean squares and mean absolute values (labels, K); NaN where no entry counts."""
        members = self.index.shape[1]
        counts = np.array([[each.size for each in self.seen]] * members, np.float64)
        for number, each in enumerate(self.seen):
            if each.slot in self.shares:
                start = self.shares[each.slot]
                counts[:, number] *= kept[start : start + members]
        counts[counts == 0] = np.nan
        found = kept[self.index]
        found[0::2] /= counts**0.5
        found[1::2] /= counts
        there = self.index[:, 0].reshape(-1) != NOWHERE
        rows: Numbers = found.transpose(0, 2, 1).reshape(-1, members)[there]
        return rows


class PassSizes:
    """Measures passes, all alike in most models.

    reshaped: names of activations that had another shape in a later pass than in the first, or were not in it.
    """

    def __init__(self, members: int, kept: Kept, scratch: Scratch) -> None:
        self.reshaped: set[str] = set()
        self._members, self._kept, self._scratch = members, kept, scratch
        self._seen: tuple[Seen, ...] = ()  # of the first pass
        self._first: list[torch.Tensor] = []
        self._rows: Packed | None = None
        self._index: Indices | None = None  # of a pass that is packed, from the first number on

    def measure(
        self, seen: Sequence[Seen], values: Tensors, shares: Mapping[int, torch.Tensor], stored: Iterable[torch.Tensor],
        first: bool,
    ) -> Pass:  # fmt: skip
        """first: whether others are compared with this one. stored: what training changes in place."""
        now = tuple(seen)
        counted = {slot: self._kept.keep([share]) for slot, share in shares.items()}
        if first:
            index = self._begin(now, values, stored)
        elif self._rows is not None and now == self._seen and fits(self._rows, values):
            index = self._packed(self._rows, values)
        else:
            index = self._apart(now, values, self._firsts(now, values))
        return Pass(now, index, counted)

    def _begin(self, seen: tuple[Seen, ...], values: Tensors, stored: Iterable[torch.Tensor]) -> Indices:
        self._seen, self._index = seen, None
        self._rows = rows = packed(values, self._members, 3)
        if rows is None:
            changing = {tensor.untyped_storage()._cdata for tensor in stored}
            self._first = [v.clone() if v.untyped_storage()._cdata in changing else v.detach() for v in values]
            return self._apart(seen, values, None)
        rows.rows[_NOW].copy_(rows.write(_FIRST, values))
        return self._kept.keep([*rows.norms(0, 1), *rows.absolute_sums(0, 1)]) + self._columns(rows, 1)

    def _packed(self, rows: Packed, values: Tensors) -> Indices:
        torch.sub(rows.write(_NOW, values), rows.rows[_FIRST], out=rows.rows[_CHANGE])
        if self._index is None:
            self._index = self._columns(rows, 2)
        return self._kept.keep([*rows.norms(0, 2), *rows.absolute_sums(0, 2)]) + self._index

    def _columns(self, rows: Packed, count: int) -> Indices:
        """Norms and sums of the first rows, from the first number on."""
        norms = rows.index(count)[:, :, [each.slot for each in self._seen]]
        both = np.stack([norms, norms + rows.index(count).size], 1)
        return both.reshape(2 * count, self._members, len(self._seen))

    def _firsts(self, seen: tuple[Seen, ...], values: Tensors) -> list[torch.Tensor | None]:
        """For every activation what it was in the first pass, where that can be compared."""
        if self._rows is not None:
            self._first, self._rows = self._rows.views(_FIRST), None
        first = {each.name: self._first[each.slot] for each in self._seen}
        found = [first.get(each.name) for each in seen]
        same = [
            then is not None and then.shape == values[each.slot].shape for then, each in zip(found, seen, strict=True)
        ]
        self.reshaped |= first.keys() - {each.name for each in seen}
        self.reshaped |= {each.name for each, fits in zip(seen, same, strict=True) if not fits}
        return [then if fits else None for then, fits in zip(found, same, strict=True)]

    def _apart(self, seen: tuple[Seen, ...], values: Tensors, firsts: Sequence[torch.Tensor | None] | None) -> Indices:
        """One by one; what shares its value and its first value is measured once."""
        others: list[dict[int, torch.Tensor]] = [{} for _ in values]
        for each, then in zip(seen, firsts or (), strict=False):
            if then is not None:
                others[each.slot][id(then)] = then
        rows: dict[tuple[int, int], int] = {}
        pieces: list[torch.Tensor] = []
        for key, pair in self._pairs(values, others):
            rows[key] = len(pieces)
            pieces += pair
        begin = self._kept.keep([torch.stack(pieces)]) if pieces else 0
        columns = [[rows[each.slot, 0] for each in seen]]
        if firsts is not None:
            keys = [(each.slot, id(then)) for each, then in zip(seen, firsts, strict=True)]
            columns.append([rows.get(key, NOWHERE) for key in keys])
        both = [[row if row == NOWHERE else row + order for row in column] for column in columns for order in (0, 1)]
        return np.stack([places(column, begin, self._members) for column in both])

    def _pairs(
        self, values: Tensors, others: Sequence[Mapping[int, torch.Tensor]]
    ) -> Iterator[tuple[tuple[int, int], Pair]]:
        """Norms and sums: of values by (place, 0), of what they are more than another by (place, its id)."""
        if not values or values[0].device.type == "cpu":
            for slot, (value, firsts) in enumerate(zip(values, others, strict=True)):
                found = block_by_block(value, [*firsts.values()], self._members, self._scratch)
                yield from zip([(slot, 0), *((slot, key) for key in firsts)], found, strict=True)
            return
        changes = [(slot, key) for slot, firsts in enumerate(others) for key in firsts]
        now, then = [values[slot] for slot, _ in changes], [others[slot][key] for slot, key in changes]
        yield from zip(
            [(slot, 0) for slot in range(len(values))], many_at_once(values, None, self._members), strict=True
        )
        yield from zip(changes, many_at_once(now, then, self._members), strict=True)
