"""Sizes of gradients and of updates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from .kept import Indices, Kept, Labels, Numbers, places
from .packed import Packed, fits, packed, put_norms
from .streamed import Tensors, changed, copied, many_norms, norm


@dataclass(frozen=True)
class Update:
    """labels: of all numbers, column by column.

    index (3, K, n): where the norms of n gradients, of the parameters and of their changes are kept.

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
        self._marks: list[tuple[int, int]] = []  # of parameters that stay as they are until the next update
        self._before: list[torch.Tensor] = []  # an accelerator's
        self._known: Indices = np.empty((2, members, 0), np.int64)  # where gradients and parameters are kept

    def clear(self) -> None:
        """For another run, which on a processor has the memory of this one: no more than it takes itself."""
        self._before, self._marks = [], []

    def before(self, parameters: Mapping[str, torch.Tensor], gradients: Mapping[str, torch.Tensor]) -> None:
        """Measure gradients, and keep the parameters that have one."""
        names, grads, held = [*gradients], [*gradients.values()], [parameters[name] for name in gradients]
        rows, same = self._rows, names == self._names
        still = same and rows is not None and self._marks == _marks(held)
        if rows is None or not (same and fits(rows.layout, grads) and (still or fits(rows.layout, held))):
            self._rows, still = None, False
            layout = packed(held, self._members)
            self._rows = rows = _Rows(layout, held) if layout is not None and fits(layout, grads) else None
        if not same:
            self._names, self._labels = names, tuple((name, column) for column in (0, 1) for name in names)
        if not still:
            self._sizes = np.array([each.numel() // self._members for each in held], np.float64) ** 0.5
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
            return Update(self._labels, self._sizes, self._kept.keep([rows.after(held, still)], rows.fold) + rows.index)
        if held:
            torch._foreach_sub_(self._before, held)
        return Update(self._labels, self._sizes, np.concatenate([self._known, self._placed([self._before])]))

    def _placed(self, rows: Sequence[Tensors]) -> Indices:
        """Keep the norms of rows of n tensors; where they stand, (rows, K, n)."""
        found = []
        for tensors in rows:
            norms = many_norms(tensors, self._members)
            begin = self._kept.keep([torch.stack(norms)]) if norms else 0
            found.append(places(range(len(norms)), begin, self._members))
        return np.stack(found)


class _Page:
    """What parameters were before a step, and the numbers of that step.

    found: norms of gradients, of parameters and of their changes (3, K, chunks). blocks: of each block its memory
    (K, n), where each tensor stands in it, and chunks of one size (1, K, count, size), with where their numbers are.
    """

    def __init__(self, layout: Packed) -> None:
        self.found = layout.numbers(3)
        self.large = layout.of_large(self.found)
        self.blocks = [
            (block, whole, block.views(whole, layout.shapes), block.parts(whole[None]),
             [block.places_in(self.found[row : row + 1]) for row in range(3)])
            for block, whole in zip(layout.blocks, layout.store(), strict=True)
        ]  # fmt: skip


class _Rows:
    """Parameters that are packed, as they were before a step and as they are after it, which may be before the next."""

    def __init__(self, layout: Packed, parameters: Tensors) -> None:
        self.layout, self.index, self.fold = layout, layout.index(3), layout.fold(3)
        self._page, self._next = _Page(layout), _Page(layout)
        self._large = [torch.empty_like(parameters[place], memory_format=torch.contiguous_format)
                       for place in layout.large]  # fmt: skip

    def before(self, gradients: Tensors, parameters: Tensors | None) -> None:
        """Measure gradients; measure and copy the parameters, unless they are what they were after the last step."""
        layout, page = self.layout, self._page
        for (block, _, own, parts, _), (*_, numbers) in zip(self._next.blocks, page.blocks, strict=True):
            torch._foreach_copy_(own, block.chosen(gradients))
            put_norms(parts, numbers[0], layout.wide)
        if layout.large:
            page.large[0] = torch.stack([norm(gradients[place], layout.members) for place in layout.large], 1)
        if parameters is not None:
            self._begin(page, parameters)
            if layout.large:
                pairs = zip(self._large, layout.large, strict=True)
                norms = [copied(then, parameters[place], layout.members) for then, place in pairs]
                page.large[1] = torch.stack(norms, 1)

    def after(self, parameters: Tensors, still: bool) -> torch.Tensor:
        """Measure how they have changed; the numbers of this step. still: whether the next begins with these."""
        layout, page, later = self.layout, self._page, self._next
        self._begin(later, parameters, still)
        for (_, then, _, parts, numbers), (_, now, *_) in zip(page.blocks, later.blocks, strict=True):
            then.sub_(now)
            put_norms(parts, numbers[2], layout.wide)
        if layout.large:
            pairs = zip(self._large, layout.large, strict=True)
            found = [changed(then, parameters[place], layout.members, still) for then, place in pairs]
            page.large[2] = torch.stack([change for change, _ in found], 1)
            if still:
                later.large[1] = torch.stack([norm for _, norm in found], 1)
        self._page, self._next = later, page
        return page.found.clone()

    def _begin(self, page: _Page, parameters: Tensors, measured: bool = True) -> None:
        """Copy what is packed."""
        for block, _, own, parts, numbers in page.blocks:
            torch._foreach_copy_(own, block.chosen(parameters))
            if measured:
                put_norms(parts, numbers[1], self.layout.wide)


def _marks(tensors: Tensors) -> list[tuple[int, int]]:
    """What another value of a tensor changes, if it is not written behind the back of autograd."""
    return [(tensor.data_ptr(), tensor._version) for tensor in tensors]
