"""A constant on one side of a contraction of activations (attention logits), put on the output of the module before it.

The module is found by walking back through the linear region (views, constants, sums) before the contraction. Where its
output goes elsewhere too, as that of a fused query, key and value projection does, the recorded operations in between
are run on made-up numbers: whichever columns have a derivative are the side's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeAlias

import torch
from torch import fx

from ..analysis.derive import Scaling
from ..plan.scales import WHOLE, Part
from ..program.values import MOVED, Value

End: TypeAlias = "tuple[Value, int]"  # a value, and which of its arguments


@dataclass(frozen=True)
class Side:
    """Module outputs that, scaled together, scale one side of some contractions and nothing else."""

    modules: tuple[tuple[str, Part], ...]
    contractions: frozenset[Value]


class Sides:
    """Finds them. `wanted`: the contractions that need the same constant."""

    def __init__(self, scaling: Scaling) -> None:
        self.scaling = scaling
        recording = scaling.aligned.narrow
        self.outputs: dict[Value, str] = {}
        self.calls: dict[str, int] = {}
        for call in recording.calls:
            self.calls[call.module] = self.calls.get(call.module, 0) + 1
            value = scaling.program.value_of(call.outputs[0])
            if value is not None and call.module and len(call.outputs) == 1:
                self.outputs.setdefault(value, call.module)
        self.readers: dict[Value, list[tuple[Value, int]]] = {}
        for value in scaling.program.values:
            for position, arg in enumerate(value.args):
                self.readers.setdefault(arg, []).append((value, position))

    def find(self, contraction: Value, wanted: frozenset[Value]) -> Side | None:
        """The first side of a contraction that can be scaled without any other effect; None where neither can."""
        for position, arg in enumerate(contraction.args[:2]):
            ends = frozenset((value, position) for value in wanted)
            makers = self._makers(arg)
            served = {frozenset(self._exits(maker, ends)[0]) for maker in makers}
            if len(served) != 1:
                continue
            reached = frozenset(value for value, _ in served.pop())
            if any(self._makers(value.args[position]) != makers for value in reached):
                continue
            parts = [(self.outputs[maker], self._part(maker, ends)) for maker in sorted(makers, key=_index)]
            if all(part is not None for _, part in parts):
                return Side(tuple((name, part) for name, part in parts if part is not None), reached)
        return None

    def _makers(self, value: Value) -> frozenset[Value]:
        """The module outputs that all paths back from a value pass; empty where one passes none."""
        found: set[Value] = set()
        stack, seen = [value], set[Value]()
        while stack:
            current = stack.pop()
            if current in seen:
                continue
            seen.add(current)
            if current in self.outputs and not current.weight and self.calls[self.outputs[current]] == 1:
                found.add(current)
            elif current.kind in MOVED and not current.weight:
                stack.extend(current.args)
            else:
                return frozenset()
        return frozenset(found)

    def _part(self, maker: Value, wanted: frozenset[End]) -> Part | None:
        """The columns of a module's output that reach one side of the wanted contractions, if they reach that alone."""
        inside, outside = self._exits(maker, wanted)
        if not outside:
            return WHOLE
        own = [value.args[position] for value, position in inside]
        other = [value.args[position] if position >= 0 else value for value, position in outside]
        parts = []
        for node_of in (lambda v: v.op.narrow, lambda v: v.op.wide):
            parts.append(self._columns(maker, own, other, node_of))
        return parts[0] if parts[0] == parts[1] else None

    def _exits(self, maker: Value, wanted: frozenset[End]) -> tuple[list[End], list[End]]:
        """Where the linear region after a value ends: at the wanted sides of contractions, and elsewhere."""
        inside: list[End] = []
        outside: list[End] = []
        stack, seen = [maker], {maker}
        while stack:
            current = stack.pop()
            readers = self.readers.get(current, [])
            if not readers:
                outside.append((current, -1))
            for value, position in readers:
                if value.kind in MOVED:
                    stack += [value] if value not in seen else []
                    seen.add(value)
                else:
                    (inside if (value, position) in wanted else outside).append((value, position))
        return inside, outside

    def _columns(
        self, maker: Value, own: list[Value], other: list[Value], node_of: Callable[[Value], fx.Node | None]
    ) -> Part | None:
        start = node_of(maker)
        if start is None:
            return None
        ends = [[node_of(value) for value in values] for values in (own, other)]
        reached = [_reached(start, [node for node in nodes if node is not None]) for nodes in ends]
        if any(None in nodes for nodes in ends) or reached[0] is None or reached[1] is None:
            return None
        if bool((reached[0] & reached[1]).any()):
            return None
        return _regular(reached[0].tolist())


def _index(value: Value) -> int:
    return value.index


def _regular(columns: list[bool]) -> Part | None:
    """A mask over columns as one range of equal groups; None where it is nothing as simple."""
    size = len(columns)
    edges = [i for i in range(size) if columns[i] and (i == 0 or not columns[i - 1])]
    groups = len(edges)
    if not groups or size % groups:
        return None
    step = size // groups
    first = columns[:step]
    if columns != first * groups:
        return None
    begin, length = first.index(True), sum(first)
    if not all(first[begin : begin + length]):
        return None
    return Part(groups, Fraction(begin, step), Fraction(begin + length, step))


def _reached(start: fx.Node, ends: Iterable[fx.Node]) -> torch.Tensor | None:
    """Which columns (last dim) of `start` the values at `ends` depend on; None where that cannot be computed again."""
    wanted, leaf = list(ends), torch.rand(start.meta["shape"], dtype=torch.float64, requires_grad=True)
    known: dict[fx.Node, Any] = {start: leaf}
    behind = _ancestors(wanted)
    try:
        for node in start.graph.nodes:  # in the order of execution
            if node in behind and node is not start and any(n in known for n in node.all_input_nodes):
                args, kwargs = (fx.map_arg(each, lambda n: _made_up(n, known)) for each in (node.args, node.kwargs))
                known[node] = node.target(*args, **kwargs)
    except (RuntimeError, NotImplementedError, TypeError, ValueError, IndexError):
        return None  # an operation that cannot be run alone, such as one that writes in place
    total = sum((known[node].square().sum() for node in wanted if node in known), torch.zeros(()))
    if not total.requires_grad:
        return torch.zeros(leaf.shape[-1], dtype=torch.bool)
    (gradient,) = torch.autograd.grad(total, leaf)
    reached: torch.Tensor = gradient.ne(0).reshape(-1, leaf.shape[-1]).any(0)
    return reached


def _ancestors(nodes: Iterable[fx.Node]) -> set[fx.Node]:
    found: set[fx.Node] = set()
    stack = list(nodes)
    while stack:
        node = stack.pop()
        if node not in found:
            found.add(node)
            stack += node.all_input_nodes
    return found


def _made_up(node: fx.Node, known: Mapping[fx.Node, Any]) -> Any:
    """What is known of a node's value, else numbers of its shape and type."""
    if node in known:
        return known[node]
    shape, dtype = node.meta["shape"], node.meta["dtype"]
    if dtype is None or dtype.is_complex:
        return torch.ones(shape, dtype=torch.complex128)
    return torch.rand(shape, dtype=torch.float64) + 0.5 if dtype.is_floating_point else torch.zeros(shape, dtype=dtype)
