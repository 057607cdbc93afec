"""The residual stream of a program: which sums the blocks repeat, and what each of their branches adds.

The stream is read backwards from where all blocks have been: through sums, constants and moves of entries alone. What
these end in is a term: it comes from one block, by the parameters that made it since the stream was last read, or from
outside. A stream that a block multiplies by something, normalises or mixes is no such sum; then it is said why.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace

from .. import ops
from ..ops.sums import Concatenates
from ..trace.blocks import block_of
from .lower import Program
from .stream import OUTSIDE, Origin, Stream, Unread, Way
from .values import COPY, ZERO, Value


def read_stream(program: Program, containers: Collection[str], alone: Collection[Origin] = frozenset()) -> Stream:
    """The streams of these containers of blocks. alone: members of them that are none, where they turn out to be none.

    A first and a last block of another kind are blocks all the same, as long as the stream can be read with them.
    """
    found = _stream(program, containers, frozenset())
    if not (found.unread and alone):
        return found
    without = _stream(program, containers, alone)
    return found if without.unread else without


def _stream(program: Program, containers: Collection[str], alone: Collection[Origin]) -> Stream:
    origins = _origins(program, containers, alone)
    ends: dict[str, Value] = {}
    unread: list[Unread] = []
    for container in containers:
        end, last = _end(program, container, origins)
        if end is not None:
            ends[container] = end
        else:
            unread.append(_why_not(container, last, origins))
    walk = _Walk(origins)
    for end in ends.values():
        walk.down(end)
    ways = {v: tuple(sorted(found, key=lambda way: (way.sum.index, way.place))) for v, found in walk.outside.items()}
    return Stream(ends, frozenset(walk.joins), walk.terms, tuple(walk.skips), ways, origins, tuple(unread))


def post_norm(program: Program, containers: Collection[str]) -> bool:
    """Whether some of these containers' blocks are added up in a stream that is normalised after every sum."""
    return any(each.post_norm for each in _stream(program, containers, frozenset()).unread)


def with_terms(program: Program, stream: Stream) -> Program:
    """The program with every branch marked where the stream adds it, and every copy of what was there before.

    The values of `program` are used up.
    """
    values: list[Value] = []
    copies = {(way.sum, way.place) for value in stream.copies for way in stream.outside[value][1:]}
    inside = {v for v, found in stream.origins.items() if of_one_block(found) and not v.weight}
    for v in program.values:
        args = list(v.args)
        for at, arg in enumerate(v.args):
            if (v, at) in stream.terms or (v, at) in copies:
                note = COPY if (v, at) in copies else ""
                args[at] = term = Value("term", (arg,), v.dims, v.op, e=1.0, signed=arg.signed, note=note)
                values.append(term)
                inside |= set() if note else {term}
        v.args = tuple(args)
        values.append(v)
    for index, v in enumerate(values):
        v.index = index
    return replace(program, values=tuple(values), inside=frozenset(inside), stack=stream)


def is_sum(v: Value) -> bool:
    """Whether a value is a sum, a constant multiple or a move of entries of what it reads."""
    if v.kind == "join":
        return not isinstance(ops.of(v.op.name), Concatenates)
    return v.kind in ("view", "scale")


def _origins(
    program: Program, containers: Collection[str], alone: Collection[Origin]
) -> dict[Value, frozenset[Origin]]:
    """The blocks whose parameters made a value since the stream was read; of a sum, those of its terms."""
    found: dict[Value, frozenset[Origin]] = {}
    outside = frozenset({OUTSIDE})
    for v in program.values:
        if v.kind == "param":
            found[v] = frozenset({_origin(v.name, containers, alone)})
        elif v.kind == "data":
            found[v] = frozenset()
        elif v.weight or is_sum(v):
            found[v] = frozenset().union(*(found[a] for a in v.args))
        else:
            parts = (found[a] - outside for a in v.args if a.weight or of_one_block(found[a]))
            found[v] = _newest(frozenset().union(*parts)) or outside
    return found


def of_one_block(made: frozenset[Origin]) -> bool:
    """Whether a value was made in one block alone: one of every container, where several run side by side."""
    return bool(made) and OUTSIDE not in made and len({container for container, _ in made}) == len(made)


def _newest(made: frozenset[Origin]) -> frozenset[Origin]:
    """What a block makes of another's output is its own."""
    last: dict[str, int] = {}
    for container, number in made:
        last[container] = max(number, last.get(container, number))
    return frozenset(last.items())


def _origin(name: str, containers: Collection[str], alone: Collection[Origin]) -> Origin:
    for container in containers:
        number = block_of(name, container)
        if number is not None:
            return OUTSIDE if (container, number) in alone else (container, number)
    return OUTSIDE


def _end(
    program: Program, container: str, origins: Mapping[Value, frozenset[Origin]]
) -> tuple[Value | None, Value | None]:
    """The first sum of something from every block of a container that all of its parameters have led to; and, sum or
    not, the first value that they have led to."""
    live = program.reaching_outputs()
    reading = (v for v in program.values if v in live and not v.weight)
    users = [v for v in reading if any(_in(a, container, origins) for a in v.args)]
    bits = {v: 1 << at for at, v in enumerate(users)}
    whole = (1 << len(users)) - 1
    blocks = {each for v in users for a in v.args if a.weight for each in origins[a] if each[0] == container}
    seen: dict[Value, int] = {}
    last: Value | None = None
    for v in program.values:
        mask = bits.get(v, 0)
        for a in v.args:
            mask |= seen[a]
        seen[v] = mask
        if mask == whole and users:
            last = last or v
            if is_sum(v) and origins[v] >= blocks and v in live:
                return v, last
    return None, last


def _in(a: Value, container: str, origins: Mapping[Value, frozenset[Origin]]) -> bool:
    return a.weight and any(each[0] == container for each in origins[a])


@dataclass
class _Walk:
    """Down a stream, from its end."""

    origins: Mapping[Value, frozenset[Origin]]
    joins: set[Value] = field(default_factory=set)
    terms: dict[tuple[Value, int], Origin] = field(default_factory=dict)
    skips: list[Value] = field(default_factory=list)
    outside: dict[Value, list[Way]] = field(default_factory=dict)
    seen: set[Value] = field(default_factory=set)

    def down(self, end: Value) -> None:
        waiting = [end]
        while waiting:
            v = waiting.pop()
            if v in self.seen:
                continue
            self.seen.add(v)
            if v.kind == "join":
                self.joins.add(v)
            elif v.kind == "scale" and v is not end and self.joins and abs(v.factor - 1.0) > 1e-6:
                self.skips.append(v)
            for at, arg in enumerate(v.args):
                waiting += self._read(v, at, arg)

    def _read(self, v: Value, at: int, arg: Value) -> Iterator[Value]:
        made = self.origins[arg]
        if of_one_block(made) and v.kind == "join":
            self.terms[v, at] = min(made)
        elif len(made) > 1 and is_sum(arg):
            yield arg
        elif made:
            self._from_outside(v, at, arg, 0.0)

    def _from_outside(self, v: Value, at: int, arg: Value, c: float) -> None:
        """Note what a value from outside the blocks is the sum of, with the constants on the way."""
        while is_sum(arg) and arg.kind != "join":
            arg, c = arg.args[0], c + (arg.c if arg.kind == "scale" and arg.c != ZERO else 0.0)
        if is_sum(arg):
            for place, each in enumerate(arg.args):
                self._from_outside(arg, place, each, c)
        elif self.origins[arg]:
            self.outside.setdefault(arg, []).append(Way(v, at, c))


def _why_not(container: str, last: Value | None, origins: Mapping[Value, frozenset[Origin]]) -> Unread:
    """What stands between the blocks where the values that they make are not added up."""
    name = f"{container}.*" if container else "the blocks"
    if last is None:
        return Unread(container, None, f"no value depends on all of {name}")
    crossed = _crossed(last, origins)
    reasons = {
        "norm": "every sum is normalised before the next block reads it (post-norm), which scales the skip path, too",
        "gain": "the stream is multiplied by a parameter in every block: a product over depth, and no power of it",
    }
    return Unread(
        container, last.op, reasons.get(crossed, f"what {name} make is not added up in one residual stream"),
        crossed == "gain", crossed == "norm",
    )  # fmt: skip


def _crossed(last: Value, origins: Mapping[Value, frozenset[Origin]]) -> str:
    """Whether it takes a norm, or a parameter that multiplies, to come from the last block to an earlier sum."""
    newest = dict(origins[last] - {OUTSIDE})
    waiting, seen = [(last, "")], {last}
    while waiting:
        v, crossed = waiting.pop(0)
        earlier = any(number < newest.get(container, -1) for container, number in origins[v] - {OUTSIDE})
        if crossed and v.kind == "join" and is_sum(v) and (earlier or OUTSIDE in origins[v]):
            return crossed
        if v.kind == "norm" or v.normalises:
            crossed = "norm"
        elif v.kind == "mul" and any(a.weight for a in v.args):
            crossed = crossed or "gain"
        elif not is_sum(v):
            continue
        for a in v.args:
            if a not in seen and not a.weight and a.kind != "data":
                seen.add(a)
                waiting.append((a, crossed))
    return ""
