"""Sizes of gradients and of updates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from .kept import Indices, Kept, Numbers, places
from .packed import Packed, fits, packed, put_norms
from .streamed import Scratch, Tensors, changed, copied, many_norms, norm


@dataclass(frozen=True)
class Update:
    """index (3, K, n): where the norms of n gradients, of the parameters and of their changes are kept.

    sizes: entries of each, in one member.
    """

    names: Sequence[str]
    sizes: Sequence[int]
    index: Indices

    @property
    def labels(self) -> list[tuple[str, int]]:
        """Name and column of every number, column by column."""
        return [(name, column) for column in (0, 1) for name in self.names]

    def numbers(self, kept: Numbers) -> Numbers:
        """Root mean squares of gradients and relative norms of changes (2 · n, K); NaN for what is relative to zero."""
        gradients, before, changes = kept[self.index]
        before[before == 0] = np.nan
        found = np.stack([gradients / np.array(self.sizes, np.float64) ** 0.5, changes / before])
        rows: Numbers = found.transpose(0, 2, 1).reshape(-1, found.shape[1])
        return rows


class UpdateSizes:
    """Measures updates: what is there `before` one is held against what is there `after` it."""

    def __init__(self, members: int, kept: Kept, scratch: Scratch) -> None:
        self._members, self._kept, self._scratch = members, kept, scratch
        self._names: list[str] = []
        self._rows: _Rows | None = None
        self._before: list[torch.Tensor] = []  # an accelerator's
        self._known: Indices = np.empty((2, members, 0), np.int64)  # where gradients and parameters are kept

    def clear(self) -> None:
        """For another run, which on a processor has the memory of this one: no more than it takes itself."""
        self._before = []

    def before(self, parameters: Mapping[str, torch.Tensor], gradients: Mapping[str, torch.Tensor]) -> None:
        """Measure gradients, and keep the parameters that have one."""
        names, grads, held = [*gradients], [*gradients.values()], [parameters[name] for name in gradients]
        rows = self._rows
        if rows is None or names != self._names or not (fits(rows.layout, held) and fits(rows.layout, grads)):
            self._rows = None
            layout = packed(held, self._members)
            same = layout is not None and fits(layout, grads)
            self._rows = rows = _Rows(layout, held, self._scratch) if layout and same else None
        self._names = names
        if rows is not None:
            rows.before(grads, held)
            return
        if [(each.shape, each.dtype) for each in self._before] != [(each.shape, each.dtype) for each in held]:
            self._before = [torch.empty_like(each, memory_format=torch.contiguous_format) for each in held]
        if held:
            torch._foreach_copy_(self._before, held)
        self._known = self._placed([grads, self._before])

    def after(self, parameters: Mapping[str, torch.Tensor]) -> Update:
        """Measure what has become of them."""
        held, rows = [parameters[name] for name in self._names], self._rows
        sizes = [each.numel() // self._members for each in held]
        if rows is not None:
            rows.after(held)
            return Update(self._names, sizes, self._kept.keep([rows.found.clone()]) + rows.index)
        if held:
            torch._foreach_sub_(self._before, held)
        return Update(self._names, sizes, np.concatenate([self._known, self._placed([self._before])]))

    def _placed(self, rows: Sequence[Tensors]) -> Indices:
        """Keep the norms of rows of n tensors; where they stand, (rows, K, n)."""
        found = []
        for tensors in rows:
            norms = many_norms(tensors, self._members)
            begin = self._kept.keep([torch.stack(norms)]) if norms else 0
            found.append(places(range(len(norms)), begin, self._members))
        return np.stack(found)


class _Rows:
    """Parameters that are packed: what they were, and scratch for what they are.

    found: norms of gradients, of parameters and of their changes (3, K, tensors).
    """

    def __init__(self, layout: Packed, parameters: Tensors, scratch: Scratch) -> None:
        self.layout, self.found, self._scratch = layout, layout.numbers(3), scratch
        self.index = layout.index(3)
        self._large = layout.of_large(self.found)
        self._then, self._now = layout.store(), layout.rows(1, scratch)
        self._large_then = [torch.empty_like(parameters[place], memory_format=torch.contiguous_format)
                            for place in layout.large]  # fmt: skip
        self._views = [
            (block.views(now[0], layout.shapes), block.parts(now),
             [block.places_in(self.found[row : row + 1]) for row in range(3)])
            for block, now in zip(layout.blocks, self._now, strict=True)
        ]  # fmt: skip

    def before(self, gradients: Tensors, parameters: Tensors) -> None:
        """Measure both, and copy the parameters."""
        layout, members = self.layout, self.layout.members
        for block, then, now, views in zip(layout.blocks, self._then, self._now, self._views, strict=True):
            own, parts, (of_gradients, of_parameters, _) = views
            torch._foreach_copy_(own, block.chosen(gradients))
            put_norms(parts, of_gradients, layout.wide)
            torch._foreach_copy_(own, block.chosen(parameters))
            put_norms(parts, of_parameters, layout.wide)
            then.copy_(now[0])
        if layout.large:
            self._large[0] = torch.stack([norm(gradients[place], members) for place in layout.large], 1)
            pairs = zip(self._large_then, layout.large, strict=True)
            self._large[1] = torch.stack([copied(then, parameters[place], members) for then, place in pairs], 1)

    def after(self, parameters: Tensors) -> None:
        """Measure how they have changed."""
        layout, members = self.layout, self.layout.members
        for block, then, now, views in zip(layout.blocks, self._then, self._now, self._views, strict=True):
            own, parts, (_, _, of_changes) = views
            torch._foreach_copy_(own, block.chosen(parameters))
            now.sub_(then)
            put_norms(parts, of_changes, layout.wide)
        if layout.large:
            pairs = zip(self._large_then, layout.large, strict=True)
            norms = [changed(then, parameters[place], members, self._scratch) for then, place in pairs]
            self._large[2] = torch.stack(norms, 1)
