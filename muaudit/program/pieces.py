"""Concatenations that are taken apart again: which operand every entry came from.

`cat([q * c, k, v]).split(n)` gives back `q * c`, `k` and `v`, of whatever different sizes, and equates nothing. The
number of the operand that each entry comes from is carried through the operations that only move entries, by running
these on the numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import fx

from .. import ops
from ..ops.moves import Moves
from ..trace.align import Op
from .values import Value

_VIEWS = (torch.ops.aten.view, torch.ops.aten._unsafe_view)


@dataclass(frozen=True)
class Parted:
    """A value with entries from several operands: their numbers, entry by entry (or a tuple of such, from a split)."""

    sources: tuple[Value, ...]
    numbers: Any


class Pieces:
    """Everything that is a concatenation, or part of one that holds more than one operand."""

    def __init__(self) -> None:
        self.parted: dict[fx.Node, Parted] = {}
        self.passing: set[Value] = set()  # values that matter only as far as something reads them as a whole

    def join(self, op: Op, along: int, sources: list[Value], result: Value) -> None:
        """`result` is the concatenation of the tensors of `op`, whose values are `sources`.

        along: the argument that says along which dim.
        """
        tensors = op.narrow.args[0]
        dim = op.narrow.args[along] if len(op.narrow.args) > along else op.narrow.kwargs.get("dim", 0)
        if not isinstance(dim, int) or not isinstance(tensors, (list, tuple)):
            return
        if len(tensors) != len(sources) or not all(isinstance(node, fx.Node) for node in tensors):
            return
        shapes = [node.meta["shape"] for node in tensors]  # type: ignore[union-attr]
        if any(len(shape) != len(op.shape) for shape in shapes):
            return
        numbers = torch.cat([torch.full(shape, i, dtype=torch.int16) for i, shape in enumerate(shapes)], dim)
        self.parted[op.narrow] = Parted(tuple(sources), numbers)
        self.passing.add(result)

    def move(self, op: Op, result: Value) -> Value | None:
        """The operand that all entries of a moved value come from; None where there is no such one."""
        source = op.narrow.args[0] if op.narrow.args else None
        parted = self.parted.get(source) if isinstance(source, fx.Node) else None
        declared = ops.of(op.name)
        if parted is None or not (isinstance(declared, Moves) and declared.exact):
            return None
        target: Any = op.narrow.target
        if getattr(target, "overloadpacket", None) in _VIEWS:  # the entries need not lie in memory as the numbers do
            target = torch.ops.aten.reshape.default
        numbers = target(parted.numbers, *op.narrow.args[1:], **op.narrow.kwargs)
        if isinstance(numbers, torch.Tensor) and numbers.numel() and bool((numbers == numbers.flatten()[0]).all()):
            return parted.sources[int(numbers.flatten()[0])]
        self.parted[op.narrow] = Parted(parted.sources, numbers)
        self.passing.add(result)
        return None

    def unread(self, values: list[Value], kept: set[Value]) -> set[Value]:
        """Those that nothing reads as a whole."""
        readers: dict[Value, int] = {}
        for value in values:
            for arg in value.args:
                readers[arg] = readers.get(arg, 0) + 1
        out: set[Value] = set()
        for value in reversed(values):
            if value in self.passing and value not in kept and not readers.get(value):
                out.add(value)
                for arg in value.args:
                    readers[arg] -= 1
        return out
