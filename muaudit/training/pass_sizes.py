"""Sizes of what a forward pass computes, and of its change since the first pass."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress

import numpy as np
import torch

from .kept import NOWHERE, Indices, Kept, Labels, Numbers, places
from .listener import Seen
from .packed import Packed, fits, packed, put_absolute_sums, put_norms
from .streamed import Pair, Scratch, Tensors, block_by_block, many_at_once


@dataclass(frozen=True)
class Pass:
    """labels: of all numbers that are somewhere, column by column. counts: entries of each of n values.

    index (2 or 4, K, n): where norms and absolute sums of n values, and of their changes, are kept.

    shares: place among the values → where the shares (K,) of entries that count are kept.
    """

    seen: tuple[Seen, ...]
    labels: Labels
    counts: Numbers
    index: Indices
    shares: Mapping[int, int]

    def numbers(self, kept: Numbers) -> Numbers:
        """Root mean squares and mean absolute values (labels, K); NaN where no entry counts."""
        members, counts, found = self.index.shape[1], self.counts, kept[self.index]
        if self.shares:
            counts = np.repeat(counts[None], members, 0)
            for number, each in enumerate(self.seen):
                if each.slot in self.shares:
                    start = self.shares[each.slot]
                    counts[:, number] *= kept[start : start + members]
            counts[counts == 0] = np.nan
        found[0::2] /= counts**0.5
        found[1::2] /= counts
        rows: Numbers = found.transpose(0, 2, 1).reshape(-1, members)
        return rows if len(rows) == len(self.labels) else rows[self.index[:, 0].reshape(-1) != NOWHERE]


class _Rows:
    """Of values that are packed: what they were in the first pass, and scratch for what they are and how they change.

    found: norms and sums of what they are and of their change (2, 2, K, chunks).
    """

    def __init__(self, layout: Packed, scratch: Scratch) -> None:
        self.layout, self.found, self._scratch = layout, layout.numbers(2, 2), scratch
        self.then, self._now = layout.store(), layout.rows(2, scratch)
        self.fold = layout.fold(1)
        self._slots: tuple[int, ...] | None = None
        self._index: Indices = np.empty((4, layout.members, 0), np.int64)
        self._large = layout.of_large(self.found)
        self._own = [block.views(now[0], layout.shapes) for block, now in zip(layout.blocks, self._now, strict=True)]
        self._views = [(block.parts(now), block.places_in(self.found[0]), block.places_in(self.found[1]))
                       for block, now in zip(layout.blocks, self._now, strict=True)]  # fmt: skip

    def first(self, tensors: Tensors) -> None:
        """Measure a pass, and keep what is packed."""
        for block, then, now, own, views in zip(
            self.layout.blocks, self.then, self._now, self._own, self._views, strict=True
        ):
            torch._foreach_copy_(own, block.chosen(tensors))
            then.copy_(now[0])
            now[1].zero_()
            self._measure(now, *views)
        self._measure_large(tensors, None)

    def again(self, tensors: Tensors, firsts: Mapping[int, torch.Tensor]) -> None:
        """Measure a pass, and its change since the first; of those that are large, `firsts` are what they were."""
        for block, then, now, own, views in zip(
            self.layout.blocks, self.then, self._now, self._own, self._views, strict=True
        ):
            torch._foreach_copy_(own, block.chosen(tensors))
            torch.sub(now[0], then, out=now[1])
            self._measure(now, *views)
        self._measure_large(tensors, firsts)

    def firsts(self) -> dict[int, torch.Tensor]:
        """What they were in the first pass, by place."""
        layout, found = self.layout, dict[int, torch.Tensor]()
        for block, then in zip(layout.blocks, self.then, strict=True):
            found |= dict(zip(block.places, block.views(then, layout.shapes), strict=True))
        return found

    def index(self, columns: int, slots: tuple[int, ...]) -> Indices:
        """Where the numbers (columns, K, slots) stand among those found; the same for runs that are alike."""
        if slots != self._slots:
            whole = self.layout.index(2, 2).transpose(1, 0, 2, 3).reshape(4, self.layout.members, -1)
            self._slots, self._index = slots, whole[:, :, list(slots)]
        return self._index[:columns]

    def _measure(self, now: torch.Tensor, parts: Tensors, norms: Tensors, sums: Tensors) -> None:
        put_norms(parts, norms, self.layout.wide)
        put_absolute_sums(now, parts, sums, self.layout.wide)

    def _measure_large(self, tensors: Tensors, firsts: Mapping[int, torch.Tensor] | None) -> None:
        members = self.layout.members
        numbers = [
            number
            for place in self.layout.large
            for pair in block_by_block(tensors[place], [firsts[place]] if firsts else [], members, self._scratch)
            for number in pair
        ]
        if numbers:
            found = torch.stack(numbers).view(len(self.layout.large), -1, 2, members)
            self._large[:, : found.shape[1]].copy_(found.permute(2, 1, 3, 0))


class PassSizes:
    """Measures passes, all alike in most models.

    reshaped: names of activations that had another shape in a later pass than in the first, or were not in it.
    """

    def __init__(self, members: int, kept: Kept, scratch: Scratch) -> None:
        self.reshaped: set[str] = set()
        self._members, self._kept, self._scratch = members, kept, scratch
        self._seen: tuple[Seen, ...] = ()  # of the first pass
        self._first: dict[int, torch.Tensor] = {}  # by place; where it is packed, only those that are too large
        self._rows: _Rows | None = None
        self._spare: _Rows | None = None  # of a run before this one
        self._counted: tuple[Seen, ...] = ()  # of the last pass
        self._counts: Numbers = np.empty(0)
        self._labels: dict[int, Labels] = {}  # by the number of columns, of passes that are packed
        self._index: Indices | None = None  # of a pass that is packed, from the first number on

    def clear(self) -> None:
        """For another run."""
        self.reshaped, self._first, self._rows = set(), {}, None

    def measure(
        self, seen: Sequence[Seen], values: Tensors, shares: Mapping[int, torch.Tensor], stored: Iterable[torch.Tensor],
        first: bool,
    ) -> Pass:  # fmt: skip
        """first: whether others are compared with this one. stored: what training changes in place."""
        now = tuple(seen)
        if now != self._counted:
            self._counted, self._counts = now, np.array([each.size or np.nan for each in now], np.float64)
        counted = {slot: self._kept.keep([share]) for slot, share in shares.items()}
        if first:
            index = self._begin(now, values, stored)
        elif self._rows is not None and now == self._seen and fits(self._rows.layout, values):
            index = self._again(self._rows, values)
        else:
            index = self._apart(now, values, self._firsts(now, values))
        return Pass(now, self._labelled(now, index), self._counts, index, counted)

    def _labelled(self, seen: tuple[Seen, ...], index: Indices) -> Labels:
        """Names and columns, made once for passes that are alike."""
        if self._rows is None or seen != self._seen:
            return _labels(seen, index)
        if len(index) not in self._labels:
            self._labels[len(index)] = _labels(seen, index)
        return self._labels[len(index)]

    def _begin(self, seen: tuple[Seen, ...], values: Tensors, stored: Iterable[torch.Tensor]) -> Indices:
        rows = self._spare if self._spare is not None and fits(self._spare.layout, values) else None
        layout = rows.layout if rows else packed(values, self._members)
        held = range(len(values)) if layout is None else layout.large
        changing = {tensor.untyped_storage()._cdata for tensor in stored} if held else set()
        if seen != self._seen:
            self._labels = {}
        self._seen, self._index, self._rows = seen, None, None
        self._first = {place: _lasting(values[place], changing) for place in held}
        if layout is None:
            return self._apart(seen, values, None)
        self._rows = self._spare = rows = rows or _Rows(layout, self._scratch)
        rows.first(values)
        return self._kept.keep([rows.found.clone()], rows.fold) + rows.index(2, self._slots)

    def _again(self, rows: _Rows, values: Tensors) -> Indices:
        rows.again(values, self._first)
        if self._index is None:
            self._index = rows.index(4, self._slots)
        return self._kept.keep([rows.found.clone()], rows.fold) + self._index

    @property
    def _slots(self) -> tuple[int, ...]:
        return tuple(each.slot for each in self._seen)

    def _firsts(self, seen: tuple[Seen, ...], values: Tensors) -> list[torch.Tensor | None]:
        """For every activation what it was in the first pass, where that can be compared."""
        if self._rows is not None:
            self._first |= self._rows.firsts()
            self._rows = None
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


def _labels(seen: tuple[Seen, ...], index: Indices) -> Labels:
    every = [(each.name, column) for column in range(len(index)) for each in seen]
    there = index[:, 0].reshape(-1) != NOWHERE
    return tuple(every if there.all() else compress(every, there))


def _lasting(value: torch.Tensor, changing: Container[int]) -> torch.Tensor:
    """A value that stays as it is."""
    return value.clone() if value.untyped_storage()._cdata in changing else value.detach()
