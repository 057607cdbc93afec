"""What is looked at over depth: points of a recorded forward pass, the same at every number of blocks.

The residual stream and what blocks add to it come from the graph, so that it does not matter which modules hold them.
What happens in every block is one point; its size is the root mean square over all blocks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import fx

from ..errors import UserError
from ..program.lower import Program, lower
from ..program.stack import is_sum, of_one_block, read_stream
from ..program.stream import Stream
from ..program.values import Value
from ..trace.align import align
from ..trace.blocks import Blocks, in_every_block, standing_alone
from ..trace.recorder import Recording
from .measurement import Kind

_RATIO = 2.0  # any: both recordings are the same one
Place = tuple[int, float]  # a node of the graph by its number, and the constant that multiplies it


@dataclass(frozen=True)
class Point:
    """places: one for every block, or one alone."""

    name: str
    module: str
    kind: Kind
    places: tuple[Place, ...]
    file: str | None = None
    line: int | None = None


def points_of(recording: Recording, blocks: Sequence[Blocks]) -> list[Point]:
    """In the order of the forward pass.

    Raises:
        UserError: the blocks make no stream that could be read.
    """
    program = lower(align(recording, recording, (_RATIO,)))
    containers = [each.container for each in blocks]
    stream = read_stream(program, containers, standing_alone(recording.params.keys(), blocks))
    if stream.unread:
        rows = dict.fromkeys(f"  {each.where}{each.reason}" for each in stream.unread)
        raise UserError("no check over depth:\n" + "\n".join(rows), "muaudit check --axis depth says more")
    found = _Found(recording, program, stream, containers)
    found.streams()
    found.added()
    found.modules()
    return sorted(found.points, key=lambda point: point.places[0][0])


def named_ends(stream: Stream) -> Iterator[tuple[str, Value]]:
    """The streams after all of their blocks, by name."""
    for container, end in stream.ends.items():
        yield f"stream after {container}.*" if len(stream.ends) > 1 else "stream", end


@dataclass(frozen=True)
class Added:
    """What blocks add to the stream by one line of code and one module: a value of every block."""

    name: str
    module: str
    terms: tuple[Value, ...]
    file: str | None
    line: int | None


def added(stream: Stream, containers: Sequence[str]) -> Iterator[Added]:
    """What the stream adds. Of a program whose terms are marked, what is marked."""
    groups: dict[tuple[object, ...], list[Value]] = {}
    for join, at in stream.terms:
        term = join.args[at].args[0] if join.args[at].kind == "term" else join.args[at]
        key = join.op.file, join.op.line, in_every_block(term.op.module, containers), stream.terms[join, at][0]
        groups.setdefault(key, []).append(term)
    for (file, line, module, container), terms in groups.items():
        maker = in_every_block(_maker(terms[0]), containers)
        yield Added(f"{maker or module or container} added", maker, tuple(terms), *_where(file, line))


class _Found:
    def __init__(self, recording: Recording, program: Program, stream: Stream, containers: Sequence[str]) -> None:
        self.recording, self.program, self.stream, self.containers = recording, program, stream, containers
        nodes = list(recording.graph.nodes)
        self.numbers = {node: number for number, node in enumerate(nodes)}
        self.node_of: dict[Value, fx.Node] = {}
        for node in nodes:
            value = program.value_of(node)
            if value is not None:
                self.node_of.setdefault(value, node)
        self.points: list[Point] = []
        self.taken: set[Place] = set()

    def streams(self) -> None:
        for name, end in named_ends(self.stream):
            place = self._place(end)
            if place is not None:
                self._add(Point(name, "", "stream", (place,), end.op.file, end.op.line))

    def added(self) -> None:
        for each in added(self.stream, self.containers):
            places = [self._place(term) for term in each.terms]
            found = tuple(sorted(place for place in places if place is not None))
            if found:
                self._add(Point(each.name, each.module, "added", found, each.file, each.line))

    def modules(self) -> None:
        groups: dict[tuple[str, Kind], list[tuple[Value, Place]]] = {}
        for call in self.recording.calls:
            value = self.program.value_of(call.outputs[0])
            if value is None or value.weight or value.kind == "data" or value in self.stream.joins:
                continue
            made = self.stream.origins[value]
            kind: Kind = "inside" if of_one_block(made) else "stream"
            suffix = f"#{call.call}" if call.call else ""
            if len(made) < 2:
                place = self.numbers[call.outputs[0]], 1.0
                groups.setdefault((self._pattern(call.module) + suffix, kind), []).append((value, place))
        for (name, kind), found in groups.items():
            op = found[0][0].op
            places = tuple(place for _, place in found if place not in self.taken)
            if places:
                self._add(Point(name, name.partition("#")[0], kind, places, op.file, op.line))

    def _pattern(self, module: str) -> str:
        return in_every_block(module, self.containers)

    def _add(self, point: Point) -> None:
        self.taken |= set(point.places)
        self.points.append(point)

    def _place(self, value: Value) -> Place | None:
        """The node of a value, or of what it is a constant multiple or a view of."""
        factor = 1.0
        while value not in self.node_of:
            if value.kind == "join" or not is_sum(value) or not value.args:
                return None
            factor *= value.factor if value.kind == "scale" else 1.0
            value = value.args[0]
        return self.numbers[self.node_of[value]], factor


def _maker(term: Value) -> str:
    """The module whose tensors made a term last."""
    while is_sum(term) and term.args and not any(arg.weight for arg in term.args):
        term = term.args[0]
    return term.op.module


def _where(file: object, line: object) -> tuple[str | None, int | None]:
    return (file if isinstance(file, str) else None), (line if isinstance(line, int) else None)


def tensors_at(
    points: Sequence[Point], recording: Recording, values: Mapping[fx.Node, torch.Tensor]
) -> dict[str, list[torch.Tensor]]:
    """The tensors at all points, by name; none where one was written over."""
    nodes = list(recording.graph.nodes)
    found: dict[str, list[torch.Tensor]] = {}
    for point in points:
        held = [(values.get(nodes[number]), factor) for number, factor in point.places]
        if all(tensor is not None and tensor.is_floating_point() for tensor, _ in held):
            found[point.name] = [tensor.detach() * factor for tensor, factor in held if tensor is not None]
    return found
