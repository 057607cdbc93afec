"""Tensors that are too large to be packed, measured one by one: a processor's way, and an accelerator's."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch

_CHUNK = 2**24  # entries whose differences an accelerator holds at once
_BLOCK = 2**18  # entries that a processor handles at once
Tensors = Sequence[torch.Tensor]
Pair = tuple[torch.Tensor, torch.Tensor]  # norm and absolute sum (K,)


class Scratch:
    """Memory for a block of entries, used again."""

    def __init__(self) -> None:
        self._held: dict[torch.dtype, torch.Tensor] = {}

    def like(self, block: torch.Tensor) -> torch.Tensor:
        """Of this shape and type."""
        return self.tensor(block.shape, block.dtype)

    def tensor(self, shape: Sequence[int], dtype: torch.dtype) -> torch.Tensor:
        """Of this shape and type, in a processor's memory."""
        held, size = self._held.get(dtype), math.prod(shape)
        if held is None or held.numel() < size:
            self._held[dtype] = held = torch.empty(size, dtype=dtype)
        return held[:size].view(*shape)


def block_by_block(
    value: torch.Tensor, firsts: Sequence[torch.Tensor], members: int, scratch: Scratch
) -> Iterator[Pair]:
    """The sizes of a value, and of what it is more than each of the others, while it is in a processor's cache."""
    flat, others = value.reshape(members, -1), [first.reshape(members, -1) for first in firsts]
    found: list[list[Pair]] = []
    for block in _blocks(flat):
        part = flat[:, block]
        buffer = scratch.like(part)
        pairs = [(norm(part, members), torch.abs(part, out=buffer).sum(1, dtype=promoted([part])))]
        for other in others:
            change = torch.sub(part, other[:, block], out=buffer)
            pairs.append((norm(change, members), change.abs_().sum(1, dtype=promoted([part]))))
        found.append(pairs)
    for parts in zip(*found, strict=True):
        norms, sums = zip(*parts, strict=True)
        yield _joined(norms), sums[0] if len(sums) == 1 else torch.stack(sums).sum(0)


def many_at_once(values: Tensors, then: Tensors | None, members: int) -> Iterator[Pair]:
    """The sizes of values, or of what they are more than `then`, an accelerator's way: few launches."""
    start = 0
    while start < len(values):
        stop = _chunk_end(values, start)
        chunk = _slices(values[start:stop], members)
        if then is not None:
            chunk = list(torch._foreach_sub(chunk, _slices(then[start:stop], members)))
        norms, sums = (
            torch.stack(list(torch._foreach_norm(chunk, order, dtype=promoted(chunk)))).view(stop - start, -1)
            for order in (2, 1)
        )
        yield from zip(norms.unbind(0), sums.unbind(0), strict=True)
        start = stop


def copied(before: torch.Tensor, now: torch.Tensor, members: int) -> torch.Tensor:
    """Copy `now` to `before`; its norm (K,)."""
    a, b = before.view(members, -1), now.reshape(members, -1)
    return _joined([norm(a[:, block].copy_(b[:, block]), members) for block in _blocks(a)])


def changed(before: torch.Tensor, now: torch.Tensor, members: int, again: bool) -> Pair:
    """The norm (K,) of what `now` is more than `before`, which is lost; `again`: copy it there, with its norm."""
    a, b = before.view(members, -1), now.reshape(members, -1)
    changes, norms = [], []
    for block in _blocks(a):
        part, other = a[:, block], b[:, block]
        changes.append(norm(part.sub_(other), members))
        if again:  # while it is in a processor's cache
            norms.append(norm(part.copy_(other), members))
    return _joined(changes), _joined(norms or changes)


def norm(tensor: torch.Tensor, members: int) -> torch.Tensor:
    """Of every member (K,)."""
    found: torch.Tensor = torch.linalg.vector_norm(tensor.reshape(members, -1), 2, 1, dtype=promoted([tensor]))
    return found


def many_norms(values: Tensors, members: int) -> list[torch.Tensor]:
    """Norms (K,) an accelerator's way."""
    found = torch._foreach_norm(_slices(values, members), 2, dtype=promoted(values))
    return [*torch.stack([*found]).view(len(values), -1)] if values else []


def _slices(values: Tensors, members: int) -> list[torch.Tensor]:
    """Value by value, that of every member."""
    return [one.contiguous() for value in values for one in value.reshape(members, -1).unbind(0)]


def promoted(tensors: Tensors) -> torch.dtype:
    """What holds them all without loss: single precision at least."""
    found = torch.float32
    for dtype in {tensor.dtype for tensor in tensors}:
        found = torch.promote_types(found, dtype)
    return found


def _blocks(flat: torch.Tensor) -> list[slice]:
    """Columns of (K, n), few enough to fit into a processor's cache."""
    members, size = flat.shape
    step = max(1, _BLOCK // max(1, members))
    return [slice(start, start + step) for start in range(0, size, step)] or [slice(0, 0)]


def _joined(norms: Sequence[torch.Tensor]) -> torch.Tensor:
    """The norm of a whole from those of its parts."""
    return norms[0] if len(norms) == 1 else torch.linalg.vector_norm(torch.stack(list(norms)), 2, 0)


def _chunk_end(values: Tensors, start: int) -> int:
    """Past the neighbours of one type that are few enough for their differences to be held at once."""
    stop, size = start + 1, values[start].numel()
    while stop < len(values) and values[stop].dtype == values[start].dtype and size < _CHUNK:
        size += values[stop].numel()
        stop += 1
    return stop
