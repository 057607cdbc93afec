"""Sizes of gradients and of updates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from .kept import Indices, Kept, Labels, Numbers, places
from .packed import Block, Packed, fits, packed, put_norms
from .streamed import Tensors, changed, copied, many_norms, norm


@dataclass
class Update:
    """labels: of all numbers, column by column.

    index (3, K, n): where the norms of n gradients, of the parameters and of their changes are kept, once measured.

    roots: of how many entries each has in one member.
    """

    labels: Labels
    roots: Numbers
    index: Indices

    def numbers(self, kept: Numbers) -> Numbers:
        """Root mean squares of gradients and relative norms of changes (2 · n, K); NaN for what is relative to zero."""
        gradients, before, changes = kept[self.index]
        before[before == 0] = np.nan
        found = np.concatenate([gradients / self.roots, changes / before], 1)
        rows: Numbers = found.T
        return rows


class UpdateSizes:
    """Measures updates: what is there `before` one is held against what is there `after` it."""

    def __init__(self, members: int, kept: Kept) -> None:
        self._members, self._kept = members, kept
        self._names: list[str] = []
        self._labels: Labels = ()
        self._sizes: Numbers = np.empty(0)
        self._rows: _Rows | None = None
        self._pending: list[Update] = []  # packed, to be measured
        self._marks: list[tuple[int, int]] = []  # of parameters that stay as they are until the next update
        self._before: list[torch.Tensor] = []  # an accelerator's
        self._known: Indices = np.empty((2, members, 0), np.int64)  # where gradients and parameters are kept

    def clear(self) -> None:
        """For another run, which on a processor has the memory of this one: no more than it takes itself."""
        self._before, self._marks, self._pending = [], [], []
        if self._rows is not None:
            self._rows.count = 0

    def before(self, parameters: Mapping[str, torch.Tensor], gradients: Mapping[str, torch.Tensor]) -> None:
        """Measure gradients, and keep the parameters that have one."""
        names, grads, held = [*gradients], [*gradients.values()], [parameters[name] for name in gradients]
        rows, same = self._rows, names == self._names
        still = same and rows is not None and self._marks == _marks(held)
        if not still:
            self.finish()
            if rows is None or not (same and fits(rows.layout, held)):
                layout = packed(held, self._members)
                self._rows = rows = _Rows(layout, held) if layout is not None and fits(layout, grads) else None
            self._sizes = np.array([each.numel() // self._members for each in held], np.float64) ** 0.5
        if not same:
            self._names, self._labels = names, tuple((name, column) for column in (0, 1) for name in names)
        if rows is not None:
            rows.before(grads, None if still else held)
            return
        if [(each.shape, each.dtype) for each in self._before] != [(each.shape, each.dtype) for each in held]:
            self._before = [torch.empty_like(each, memory_format=torch.contiguous_format) for each in held]
        if held:
            torch._foreach_copy_(self._before, held)
        self._known = self._placed([grads, self._before])

    def after(self, parameters: Mapping[str, torch.Tensor], still: bool) -> Update:
        """Measure what has become of them; `still`: nothing but the next update changes them."""
        held, rows = [parameters[name] for name in self._names], self._rows
        if rows is not None:
            self._marks = _marks(held) if still else []
            rows.after(held, still)
            self._pending.append(found := Update(self._labels, self._sizes, np.empty(0, np.int64)))
            if rows.count == rows.many:
                self.finish()
            return found
        if held:
            torch._foreach_sub_(self._before, held)
        return Update(self._labels, self._sizes, np.concatenate([self._known, self._placed([self._before])]))

    def finish(self) -> None:
        """Measure what is to be measured."""
        if self._rows is not None and self._pending:
            pending, self._pending = self._pending, []  # not twice, as measuring overwrites
            begin = self._kept.keep([self._rows.measure(len(pending))], self._rows.fold)
            indices = self._rows.layout.index(3, len(pending)).transpose(1, 0, 2, 3)
            for each, index in zip(pending, indices, strict=True):
                each.index = begin + index

    def _placed(self, rows: Sequence[Tensors]) -> Indices:
        """Keep the norms of rows of n tensors; where they stand, (rows, K, n)."""
        found = []
        for tensors in rows:
            norms = many_norms(tensors, self._members)
            begin = self._kept.keep([torch.stack(norms)]) if norms else 0
            found.append(places(range(len(norms)), begin, self._members))
        return np.stack(found)


class _Row(NamedTuple):
    """Of a block its tensors at one time: memory (K, n), where each stands in it, and chunks of one size."""

    whole: torch.Tensor
    own: list[torch.Tensor]
    parts: list[torch.Tensor]


class _Held(NamedTuple):
    """A block: parameters before the first step and after each, gradients of each; where their norms are put."""

    block: Block
    rows: list[_Row]
    gradients: list[_Row]
    norms: list[list[Tensors]]


class _Rows:
    """Parameters that are packed, around steps that are measured together, as passes are.

    count: how many steps are kept. found: norms of gradients, of parameters and of their changes
    (3, 1 + steps, K, chunks).
    """

    def __init__(self, layout: Packed, parameters: Tensors) -> None:
        self.layout, self.fold, self.many, self.count = layout, layout.fold(3), layout.many, 0
        self.found = layout.numbers(3, 1 + self.many)
        self._fresh = True  # what is there before the first step is to be measured
        self._large_found = layout.of_large(self.found)
        self._large = [torch.empty_like(parameters[place], memory_format=torch.contiguous_format)
                       for place in layout.large]  # fmt: skip
        stores = [layout.store() for _ in range(1 + self.many + (self.many if self.many > 1 else 0))]
        self._blocks: list[_Held] = []
        for block, *held in zip(layout.blocks, *stores, strict=True):
            rows = [_Row(whole, block.views(whole, layout.shapes), block.parts(whole[None])) for whole in held]
            norms = [[block.places_in(found[None]) for found in kind] for kind in self.found]
            # a single step's gradients are measured at once, where its parameters will be afterwards
            gradients = rows[1 + self.many :] or rows[1:]
            self._blocks.append(_Held(block, rows[: 1 + self.many], gradients, norms))

    def before(self, gradients: Tensors, parameters: Tensors | None) -> None:
        """Keep gradients, and parameters unless they are what they were after the last step."""
        layout, large = self.layout, self.layout.large
        for block, rows, grads, norms in self._blocks:
            torch._foreach_copy_(grads[self.count].own, block.chosen(gradients))
            if self.many == 1:
                put_norms(grads[0].parts, norms[0][0], layout.wide)
            if parameters is not None:
                torch._foreach_copy_(rows[0].own, block.chosen(parameters))
        if large:
            self._large_found[0, 0] = torch.stack([norm(gradients[place], layout.members) for place in large], 1)
        if parameters is not None:
            self._fresh = True
            if large:
                pairs = zip(self._large, large, strict=True)
                found = [copied(then, parameters[place], layout.members) for then, place in pairs]
                self._large_found[1, 0] = torch.stack(found, 1)

    def after(self, parameters: Tensors, still: bool) -> None:
        """Keep what has become of them. still: whether the next step begins with these."""
        layout = self.layout
        self.count += 1
        for held in self._blocks:
            torch._foreach_copy_(held.rows[self.count].own, held.block.chosen(parameters))
        if layout.large:
            pairs = zip(self._large, layout.large, strict=True)
            found = [changed(then, parameters[place], layout.members, still) for then, place in pairs]
            self._large_found[2, 0] = torch.stack([change for change, _ in found], 1)
            self._large_found[1, 1] = torch.stack([norm for _, norm in found], 1)

    def measure(self, count: int) -> torch.Tensor:
        """Numbers (3, count, K, chunks) of the steps that are kept."""
        wide = self.layout.wide
        for _, rows, grads, norms in self._blocks:
            if self._fresh:
                put_norms(rows[0].parts, norms[1][0], wide)
            for step in range(count):
                if self.many > 1:
                    put_norms(grads[step].parts, norms[0][step], wide)
                put_norms(rows[step + 1].parts, norms[1][step + 1], wide)
                rows[step].whole.sub_(rows[step + 1].whole)
                put_norms(rows[step].parts, norms[2][step], wide)
            rows[0], rows[count] = rows[count], rows[0]
            if self.many == 1:
                grads[0] = rows[1]
        numbers = self.found[:, :count].clone()
        self.found[1, 0] = self.found[1, count]
        self._fresh, self.count = False, 0
        return numbers


def _marks(tensors: Tensors) -> list[tuple[int, int]]:
    """What another value of a tensor changes, if it is not written behind the back of autograd."""
    return [(tensor.data_ptr(), tensor._version) for tensor in tensors]
