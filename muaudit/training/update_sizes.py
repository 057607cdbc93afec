"""Sizes of gradients and of updates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from .kept import Indices, Kept, Numbers, places
from .packed import Packed, fits, packed
from .streamed import Scratch, Tensors, changed, copied, many_norms, norm

_GRADIENT, _BEFORE, _CHANGE = range(3)  # rows of what is packed


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
        self._rows: Packed | None = None
        self._index: Indices | None = None  # of an update that is packed, from the first number on
        self._before: list[torch.Tensor] = []
        self._norms: Indices = np.empty((2, members, 0), np.int64)

    def before(self, parameters: Mapping[str, torch.Tensor], gradients: Mapping[str, torch.Tensor]) -> None:
        """Measure gradients, and keep the parameters that have one."""
        grads, held = [*gradients.values()], [parameters[name] for name in gradients]
        if (
            self._rows is None
            or self._names != [*gradients]
            or not (fits(self._rows, held) and fits(self._rows, grads))
        ):
            self._names, self._index = [*gradients], None
            self._rows = packed(held, self._members, 3) if _alike(held, grads) else None
        if self._rows is not None:
            self._rows.write(_GRADIENT, grads)
            self._rows.write(_BEFORE, held)
            return
        if not _alike(self._before, held):
            self._before = [torch.empty_like(each, memory_format=torch.contiguous_format) for each in held]
        if _on_cpu(held):
            kept = [copied(before, now, self._members) for before, now in zip(self._before, held, strict=True)]
            norms = [*(norm(grad, self._members) for grad in grads), *kept]
        else:
            torch._foreach_copy_(self._before, held)
            norms = [*many_norms(grads, self._members), *many_norms(self._before, self._members)]
        self._norms = self._placed(norms, 2)

    def after(self, parameters: Mapping[str, torch.Tensor]) -> Update:
        """Measure what has become of them."""
        held = [parameters[name] for name in self._names]
        sizes = [each.numel() // self._members for each in held]
        if self._rows is not None:
            self._rows.write(_CHANGE, held).sub_(self._rows.rows[_BEFORE])
            if self._index is None:
                self._index = self._rows.index(3)
            return Update(self._names, sizes, self._kept.keep(self._rows.norms(0, 3)) + self._index)
        if _on_cpu(held):
            pairs = zip(self._before, held, strict=True)
            norms = [changed(before, now, self._members, self._scratch) for before, now in pairs]
        else:
            torch._foreach_sub_(self._before, held)
            norms = many_norms(self._before, self._members)
        return Update(self._names, sizes, np.concatenate([self._norms, self._placed(norms, 1)]))

    def _placed(self, norms: Iterable[torch.Tensor], rows: int) -> Indices:
        """Keep norms (K,); where they stand, (rows, K, n)."""
        pieces = [*norms]
        begin = self._kept.keep([torch.stack(pieces)]) if pieces else 0
        found = places(range(len(pieces)), begin, self._members).reshape(self._members, rows, -1)
        rows_first: Indices = found.transpose(1, 0, 2)
        return rows_first


def _alike(some: Tensors, others: Tensors) -> bool:
    return [(each.shape, each.dtype) for each in some] == [(each.shape, each.dtype) for each in others]


def _on_cpu(tensors: Tensors) -> bool:
    return not tensors or tensors[0].device.type == "cpu"
