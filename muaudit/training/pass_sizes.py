"""Sizes of what a forward pass computes, and of its change since the first pass."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import NamedTuple

import numpy as np
import torch

from .kept import NOWHERE, Indices, Kept, Labels, Numbers, places
from .listener import Seen
from .packed import Block, Packed, fits, packed, put_norms, put_sums
from .streamed import Pair, Scratch, Tensors, block_by_block, many_at_once


@dataclass
class Pass:
    """labels: of all numbers that are somewhere, column by column. counts: entries of each of n values.

    index (2 or 4, K, n): where norms and absolute sums of n values, and of their changes, are kept, once measured.

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


class _Held(NamedTuple):
    """A block of values. rows: what they are in each pass (K, n), and `own`, where each stands in it.

    now: scratch for absolute values of them and of their changes, and its `parts`; where their norms and sums are put.
    """

    block: Block
    rows: list[torch.Tensor]
    own: list[list[torch.Tensor]]
    now: torch.Tensor
    parts: list[torch.Tensor]
    norms: list[Tensors]
    sums: list[Tensors]

    def measure(self, row: int, wide: torch.dtype) -> None:
        """Of one pass."""
        torch.sub(self.rows[row], self.rows[0], out=self.now[1])
        torch.abs(self.rows[row], out=self.now[0])
        self.now[1].abs_()
        put_norms(self.parts, self.norms[row], wide)
        put_sums(self.parts, self.sums[row], wide)


class _Rows:
    """Values that are packed, of the first pass and of some later ones that are measured together.

    Between two steps a processor has neither numbers nor code at hand: a call takes several times as long there.
    many: how many later ones. found: norms and sums, by pass, of what they are and of their change
    (2, 1 + many, 2, K, chunks).
    """

    def __init__(self, layout: Packed, scratch: Scratch) -> None:
        self.layout, self.fold, self.many, self._scratch = layout, layout.fold(1), layout.many, scratch
        self.found = layout.numbers(2, 1 + self.many, 2)
        self._large = layout.of_large(self.found)
        self._index: dict[tuple[int, int, tuple[int, ...]], Indices] = {}
        self._blocks = []
        held = [layout.store() for _ in range(1 + self.many if self.many > 1 else 1)]
        for block, now, *rows in zip(layout.blocks, layout.rows(2, scratch), *held, strict=True):
            rows = rows if self.many > 1 else [*rows, now[0]]
            own = [block.views(row, layout.shapes) for row in rows]
            norms, sums = ([block.places_in(each) for each in found] for found in self.found)
            self._blocks.append(_Held(block, rows, own, now, block.parts(now), norms, sums))

    def put(self, row: int, tensors: Tensors, firsts: Mapping[int, torch.Tensor] | None) -> None:
        """A pass: the first, 0, or a later one. `firsts`: of those that are large, what they were in the first."""
        for held in self._blocks:
            torch._foreach_copy_(held.own[row], held.block.chosen(tensors))
            if self.many == 1:
                held.measure(row, self.layout.wide)
        for place, large in enumerate(self.layout.large):
            others = [firsts[large]] if firsts else []
            for what, pair in enumerate(block_by_block(tensors[large], others, self.layout.members, self._scratch)):
                self._large[:, row, what, :, place] = torch.stack(pair)

    def measure(self, start: int, stop: int) -> torch.Tensor:
        """The numbers of these passes."""
        for held in self._blocks if self.many > 1 else ():
            for row in range(start, stop):
                held.measure(row, self.layout.wide)
        return self.found[:, start:stop].clone()

    def firsts(self) -> dict[int, torch.Tensor]:
        """What they were in the first pass, by place."""
        return {place: own for held in self._blocks for place, own in zip(held.block.places, held.own[0], strict=True)}

    def index(self, start: int, stop: int, slots: tuple[int, ...]) -> Indices:
        """Where the numbers (passes, 4, K, slots) stand among those measured; the same for runs that are alike."""
        key = start, stop, slots
        if key not in self._index:
            whole = self.layout.index(2, stop - start, 2).transpose(1, 2, 0, 3, 4)
            self._index[key] = whole.reshape(stop - start, 4, self.layout.members, -1)[..., list(slots)]
        return self._index[key]


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
        self._pending: list[Pass] = []  # packed, to be measured
        self._row = 0  # the first of them

    def clear(self) -> None:
        """For another run."""
        self.reshaped, self._first, self._rows, self._pending = set(), {}, None, []

    def measure(
        self, seen: Sequence[Seen], values: Tensors, shares: Mapping[int, torch.Tensor], stored: Iterable[torch.Tensor],
        first: bool,
    ) -> Pass:  # fmt: skip
        """first: whether others are compared with this one. stored: what training changes in place.

        seen: the same tuple as before is a listener's word that the values are of the same shapes and types.
        """
        now = tuple(seen)
        if now != self._counted:
            self._counted, self._counts = now, np.array([each.size or np.nan for each in now], np.float64)
        counted = {slot: self._kept.keep([share]) for slot, share in shares.items()}
        if first:
            self._begin(now, values, stored)
        alike = first or seen is self._seen or (now == self._seen and self._rows and fits(self._rows.layout, values))
        if self._rows is not None and alike:
            return self._put(self._rows, values, first, counted)
        index = self._apart(now, values, None if first else self._firsts(now, values))
        return Pass(now, _labels(now, index), self._counts, index, counted)

    def finish(self) -> None:
        """Measure what is to be measured."""
        if self._rows is not None and self._pending:
            start, stop = self._row, self._row + len(self._pending)
            begin = self._kept.keep([self._rows.measure(start, stop)], self._rows.fold)
            for each, index in zip(self._pending, self._rows.index(start, stop, self._slots), strict=True):
                each.index = begin + index[: len(each.index)]
            self._pending, self._row = [], 1

    def _begin(self, seen: tuple[Seen, ...], values: Tensors, stored: Iterable[torch.Tensor]) -> None:
        self.finish()
        rows = self._spare if self._spare is not None and fits(self._spare.layout, values) else None
        layout = rows.layout if rows else packed(values, self._members)
        held = range(len(values)) if layout is None else layout.large
        changing = {tensor.untyped_storage()._cdata for tensor in stored} if held else set()
        if seen != self._seen:
            self._labels = {}
        self._seen, self._row, self._rows = seen, 0, None
        self._first = {place: _lasting(values[place], changing) for place in held}
        if layout is not None:
            self._rows = self._spare = rows or _Rows(layout, self._scratch)

    def _put(self, rows: _Rows, values: Tensors, first: bool, counted: Mapping[int, int]) -> Pass:
        """Of a pass that is packed."""
        row = self._row + len(self._pending)
        rows.put(row, values, None if first else self._first)
        columns = 2 if first else 4
        index = np.zeros((columns, self._members, 1), np.int64)
        if columns not in self._labels:
            self._labels[columns] = _labels(self._seen, index)
        self._pending.append(found := Pass(self._seen, self._labels[columns], self._counts, index, counted))
        if rows.many in (1, row):
            self.finish()
        return found

    @property
    def _slots(self) -> tuple[int, ...]:
        return tuple(each.slot for each in self._seen)

    def _firsts(self, seen: tuple[Seen, ...], values: Tensors) -> list[torch.Tensor | None]:
        """For every activation what it was in the first pass, where that can be compared."""
        if self._rows is not None:
            self.finish()
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
