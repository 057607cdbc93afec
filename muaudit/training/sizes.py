"""Sizes of activations, gradients and updates, computed on the device and fetched once.

Every tensor has a leading dimension K, the models that are trained together. Sizes are root mean square (l2) and mean
absolute value (l1), accumulated in at least single precision.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import torch

from .listener import Seen
from .packed import Layout, Packer

_CHUNK = 2**24  # entries whose differences an accelerator holds at once
_BLOCK = 2**18  # entries that a processor handles at once
Tensors = Sequence[torch.Tensor]


class Cell(NamedTuple):
    """Where one number is to be found: row · scale / divisor^power, and what it is of."""

    kind: Literal["loss", "activation", "parameter"]
    name: str
    column: int
    step: int
    row: int
    scale: float = 1.0
    divisor: int | None = None
    power: float = 1.0


class Sizes:
    """Numbers (K,) of every step.

    Activations have the columns of `measurement.STATISTICS`, parameters those of `measurement.PARAMETER_STATISTICS`.
    seen: activations by name. reshaped: names of those that had another shape in a later pass, or were not in it, like
    the tokens that are routed to an expert.
    """

    def __init__(self) -> None:
        self._blocks: list[torch.Tensor] = []  # (rows, K)
        self._rows = 0
        self._numbers: list[Cell] = []
        self._first: dict[str, torch.Tensor] = {}
        self.seen: dict[str, Seen] = {}
        self.reshaped: set[str] = set()
        self._before: list[torch.Tensor] = []
        self._before_rows = range(0)
        self._scratch: torch.Tensor | None = None
        self._packer = Packer()
        self._then: tuple[Layout, list[int], torch.Tensor] | None = None  # what was packed, of which tensors

    @torch.no_grad()
    def activations(
        self, step: int, seen: Sequence[Seen], values: Tensors, shares: Mapping[int, torch.Tensor],
        stored: Iterable[torch.Tensor] = (),
    ) -> None:  # fmt: skip
        """The sizes of this pass, and of the change since the first; values (K, ...) and shares (K,) by slot.

        stored: what training changes in place; the first pass's values are kept, and must not be views of it.
        """
        self.seen |= {each.name: each for each in seen}
        share_rows = dict(zip(shares, self._store(shares.values()), strict=True))
        rows = self._sizes(values)
        for each in seen:
            self._size(each, 0, step, rows[each.slot], share_rows.get(each.slot))
        if step == 0:
            changing = {tensor.untyped_storage()._cdata for tensor in stored}
            kept = [v.clone() if v.untyped_storage()._cdata in changing else v for v in values]
            self._first = {each.name: kept[each.slot] for each in seen}
            return
        self.reshaped |= self._first.keys() - {each.name for each in seen}
        pairs: dict[tuple[int, int], list[Seen]] = {}  # what shares value and first value is measured once
        for each in seen:
            first = self._first.get(each.name)
            if first is not None and first.shape == values[each.slot].shape:
                pairs.setdefault((each.slot, id(first)), []).append(each)
            else:
                self.reshaped.add(each.name)
        then = [self._first[group[0].name] for group in pairs.values()]
        rows = self._sizes([values[slot] for slot, _ in pairs], then)
        for group, row in zip(pairs.values(), rows, strict=True):
            for each in group:
                self._size(each, 2, step, row, share_rows.get(each.slot))

    @torch.no_grad()
    def gradients(
        self, step: int, parameters: Mapping[str, torch.Tensor], gradients: Mapping[str, torch.Tensor]
    ) -> None:
        """Before an update: the gradients' root mean squares; the parameters are kept for `updates`."""
        held = [parameters[name] for name in gradients]
        if (layout := self._packer.layout(held)) is not None and self._packer.layout([*gradients.values()]) is layout:
            rows = self._packed_norms(self._packer.pack([*gradients.values()], layout, "now"), layout)
            self._before_rows = self._packed_norms(self._packer.pack(held, layout, "before"), layout)
            self._gradient_cells(step, gradients, rows)
            return
        if [tensor.shape for tensor in self._before] != [tensor.shape for tensor in held]:
            self._before = [torch.empty(tensor.shape, dtype=tensor.dtype, device=tensor.device) for tensor in held]
        rows = self._norms(list(gradients.values()))
        if _on_cpu(held):
            pairs = zip(self._before, held, strict=True)
            self._before_rows = self._store(_written(torch.Tensor.copy_, before, now) for before, now in pairs)
        else:
            torch._foreach_copy_(self._before, held)
            self._before_rows = self._norms(self._before)
        self._gradient_cells(step, gradients, rows)

    def _gradient_cells(self, step: int, gradients: Mapping[str, torch.Tensor], rows: range) -> None:
        for (name, gradient), row in zip(gradients.items(), rows, strict=True):
            scale = (gradient.numel() / len(gradient)) ** -0.5
            self._numbers.append(Cell("parameter", name, 0, step, row, scale))

    @torch.no_grad()
    def updates(self, step: int, parameters: Mapping[str, torch.Tensor], gradients: Mapping[str, torch.Tensor]) -> None:
        """After it: the norm of the update relative to that of the parameter."""
        held = [parameters[name] for name in gradients]
        if (layout := self._packer.layout(held)) is not None and self._packer.layout([*gradients.values()]) is layout:
            now = self._packer.pack(held, layout, "now")
            changes = self._packed_norms(now.sub_(self._packer.buffer("before", now.dtype, *now.shape)), layout)
        elif _on_cpu(held):
            pairs = zip(self._before, held, strict=True)
            changes = self._store(_written(torch.Tensor.sub_, before, now) for before, now in pairs)
        else:
            torch._foreach_sub_(self._before, held)
            changes = self._norms(self._before)
        for name, size, change in zip(gradients, self._before_rows, changes, strict=True):
            self._numbers.append(Cell("parameter", name, 1, step, change, divisor=size))

    def loss(self, step: int, losses: torch.Tensor) -> None:
        """Losses (K,)."""
        self._numbers.append(Cell("loss", "", 0, step, self._store([losses.detach()])[0]))

    def fetch(self) -> Iterator[tuple[Cell, list[float]]]:
        """Everything, in one transfer. What is relative to zero is nowhere to be found: NaN."""
        self._first, self._before, self._scratch, self._then = {}, [], None, None
        if not self._blocks:
            return
        rows = torch.cat([block.to(_promoted(self._blocks)) for block in self._blocks]).cpu().tolist()
        for number in self._numbers:
            found = [value * number.scale for value in rows[number.row]]
            if number.divisor is not None:
                divisors = rows[number.divisor]
                found = [a / b**number.power if b else math.nan for a, b in zip(found, divisors, strict=True)]
            yield number, found

    # -- the parts ---------------------------------------------------------------------------------------------

    def _size(self, each: Seen, column: int, step: int, rows: tuple[int, int], share: int | None) -> None:
        for offset, (row, power) in enumerate(zip(rows, (0.5, 1.0), strict=True)):
            scale = each.size**-power
            self._numbers.append(Cell("activation", each.name, column + offset, step, row, scale, share, power))

    def _store(self, rows: Iterable[torch.Tensor]) -> range:
        """Keep rows (K,); their numbers."""
        found = list(rows)
        if found:
            self._blocks.append(torch.stack(found))
        self._rows += len(found)
        return range(self._rows - len(found), self._rows)

    def _norms(self, tensors: Tensors) -> range:
        """The rows of the norms of (K, ...) tensors."""
        if _on_cpu(tensors):
            return self._store(_norm(tensor) for tensor in tensors)
        norms = torch._foreach_norm(_slices(tensors), 2, dtype=_promoted(tensors))
        return self._store(torch.stack(list(norms)).view(len(tensors), -1).unbind(0))

    def _sizes(self, values: Tensors, then: Tensors | None = None) -> list[tuple[int, int]]:
        """The rows of norm and absolute sum of every value, or of what it is more than `then`."""
        layout = self._packer.layout(values)
        if layout is not None and (then is None or self._packer.layout(then) is layout):
            return self._packed(values, then, layout)
        found = self._one_by_one(values, then) if _on_cpu(values) else many_at_once(values, then)
        rows = self._store(row for pair in found for row in pair)
        return list(zip(rows[::2], rows[1::2], strict=True))

    def _packed(self, values: Tensors, then: Tensors | None, layout: Layout) -> list[tuple[int, int]]:
        """A processor's way with small ones: all together, in one buffer."""
        flat, dtype = self._packer.pack(values, layout, "values"), _promoted([values[0]])
        if then is not None:
            if self._then is None or self._then[0] is not layout or self._then[1] != [*map(id, then)]:
                self._then = layout, [*map(id, then)], self._packer.pack(then, layout, "then")
            flat = flat.sub_(self._then[2])
        norms = self._store_block(layout.norms(flat, dtype))
        return list(zip(norms, self._store_block(layout.sums(flat.abs_(), dtype)), strict=True))

    def _packed_norms(self, flat: torch.Tensor, layout: Layout) -> range:
        return self._store_block(layout.norms(flat, _promoted([flat])))

    def _store_block(self, block: torch.Tensor) -> range:
        """Keep rows (R, K); their numbers."""
        self._blocks.append(block)
        self._rows += len(block)
        return range(self._rows - len(block), self._rows)

    def _one_by_one(self, values: Tensors, then: Tensors | None) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """A processor's way: block by block, in one buffer that stays in its cache."""
        for place, whole in enumerate(values):
            value = whole.reshape(whole.shape[0], -1)
            earlier = None if then is None else then[place].reshape(value.shape)
            norms, sums = [], []
            for block in _blocks(value):
                part = value[:, block]
                buffer = self._buffer(part)
                if earlier is not None:
                    part = torch.sub(part, earlier[:, block], out=buffer)
                norms.append(_norm(part))
                sums.append(torch.abs(part, out=buffer).sum(1, dtype=_promoted([part])))
            yield _joined(norms), sums[0] if len(sums) == 1 else torch.stack(sums).sum(0)

    def _buffer(self, like: torch.Tensor) -> torch.Tensor:
        held, size = self._scratch, like.numel()
        if held is None or held.dtype != like.dtype or held.numel() < size:
            self._scratch = held = torch.empty(size, dtype=like.dtype, device=like.device)
        return held[:size].view(like.shape)


def _written(write: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], to: torch.Tensor, value: torch.Tensor) -> Any:
    """The norms (K,) of `to` after `write(to, value)`, block by block: what has just been written is in the cache."""
    ours, other = to.view(to.shape[0], -1), value.reshape(value.shape[0], -1)
    return _joined([_norm(write(ours[:, block], other[:, block])) for block in _blocks(ours)])


def _blocks(flat: torch.Tensor) -> list[slice]:
    """Columns of (K, n), few enough to fit into a processor's cache."""
    members, size = flat.shape
    step = max(1, _BLOCK // max(1, members))
    return [slice(start, start + step) for start in range(0, size, step)] or [slice(0, 0)]


def _joined(norms: Sequence[torch.Tensor]) -> torch.Tensor:
    """The norm of a whole from those of its parts."""
    return norms[0] if len(norms) == 1 else torch.linalg.vector_norm(torch.stack(list(norms)), 2, 0)


def many_at_once(values: Tensors, then: Tensors | None) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Norms and absolute sums (K,) an accelerator's way: few launches, many tensors each."""
    start = 0
    while start < len(values):
        stop = _chunk_end(values, start)
        chunk = _slices(values[start:stop])
        if then is not None:
            chunk = list(torch._foreach_sub(chunk, _slices(then[start:stop])))
        norms, sums = (
            torch.stack(list(torch._foreach_norm(chunk, order, dtype=_promoted(chunk)))).view(stop - start, -1)
            for order in (2, 1)
        )
        yield from zip(norms.unbind(0), sums.unbind(0), strict=True)
        start = stop


def _chunk_end(values: Tensors, start: int) -> int:
    """Past the neighbours of one type that are few enough for their differences to be held at once."""
    stop, size = start + 1, values[start].numel()
    while stop < len(values) and values[stop].dtype == values[start].dtype and size < _CHUNK:
        size += values[stop].numel()
        stop += 1
    return stop


def _on_cpu(tensors: Tensors) -> bool:
    return not tensors or tensors[0].device.type == "cpu"


def _norm(tensor: torch.Tensor) -> torch.Tensor:
    """Of every member (K,)."""
    flat, dtype = tensor.reshape(tensor.shape[0], -1), _promoted([tensor])
    found: torch.Tensor = torch.linalg.vector_norm(flat, 2, 1, dtype=dtype)
    return found


def _slices(values: Tensors) -> list[torch.Tensor]:
    return [one.contiguous() for value in values for one in value.unbind(0)]


def _promoted(tensors: Tensors) -> torch.dtype:
    """What holds them all without loss: single precision at least."""
    found = torch.float32
    for dtype in {tensor.dtype for tensor in tensors}:
        found = torch.promote_types(found, dtype)
    return found
