"""The residual stream of a model, held against that of the deeper one: it has to be more of the same."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from torch import fx

from ..findings.names import pattern_of
from ..program.lower import Program, lower
from ..program.stack import read_stream
from ..program.stream import Origin, Stream, Unread
from ..program.values import Value
from ..thresholds import PRODUCT_GROWS, WRONG_INIT_ERRORS
from ..trace.align import Aligned, align
from ..trace.blocks import Blocks, block_of, standing_alone

_RATIO = 2.0  # any: both recordings are the same one
_SAME = 1e-6  # constants are computed, not drawn


def compared(program: Program, blocks: Sequence[Blocks]) -> Stream:
    """The stream of a program; what makes it other than more of the same in the deeper model is in `unread`."""
    wide = program.aligned.wide
    deeper = lower(align(wide, wide, (_RATIO,)))
    containers = [each.container for each in blocks]
    few, many = (
        read_stream(each, containers, standing_alone(each.aligned.narrow.params.keys(), blocks))
        for each in (program, deeper)
    )
    ways = [sum(map(len, stream.outside.values())) for stream in (few, many)]
    copies = tuple(v for v, found in few.outside.items() if len(found) > 1) if ways[1] > ways[0] else ()
    unread = [*few.unread, *_of_blocks(few, many, blocks), *_by_place(deeper, many)]
    if ways[1] > ways[0] and not copies and not unread:
        reason = f"blocks bring {ways[0]} values from outside into the stream, in the deeper model {ways[1]}"
        unread.append(Unread(blocks[0].container, next(iter(few.ends.values())).op, reason))
    return replace(few, unread=tuple(unread), copies=copies, skips=_without_limit(few, many))


def _without_limit(few: Stream, many: Stream) -> tuple[Value, ...]:
    """The constants on the stream whose product over the blocks goes on growing or falling with their number."""
    logs = [_by_line(each.skips) for each in (few, many)]
    growing = {line for line, log in logs[0].items() if abs(logs[1].get(line, 0.0)) > PRODUCT_GROWS * abs(log)}
    return tuple(v for v in few.skips if (v.op.file, v.op.line) in growing)


def _by_line(skips: Iterable[Value]) -> dict[tuple[str | None, int | None], float]:
    """The logarithms of the products of all constants that stand on one line."""
    found: dict[tuple[str | None, int | None], float] = {}
    for v in skips:
        line = v.op.file, v.op.line
        found[line] = found.get(line, 0.0) + math.log(v.factor)
    return found


def _of(stream: Stream, container: str) -> set[Origin]:
    """The blocks of a container that anything is made in."""
    return {made for found in stream.origins.values() for made in found if made[0] == container and made[1] >= 0}


def _of_blocks(few: Stream, many: Stream, blocks: Sequence[Blocks]) -> Iterator[Unread]:
    for each in blocks:
        if each.container in few.ends and each.container in many.ends:
            ours, theirs = (sum(made[0] == each.container for made in s.terms.values()) for s in (few, many))
            here, there = (len({number for _, number in _of(s, each.container)}) for s in (few, many))
            if ours * there != theirs * here:
                reason = f"{here} blocks add {ours} terms to the stream, {there} add {theirs}"
                yield Unread(each.container, few.ends[each.container].op, reason)
        if len(each.of) < len(each.numbers):
            missing = next(number for number in each.numbers if number not in each.of)
            yield Unread(each.container, None, f"{each.name(missing)} has no like among {each.count} blocks")


def by_place(aligned: Aligned, blocks: Sequence[Blocks]) -> Iterator[str]:
    """Parameters of blocks whose init is a third or further size in some block of the deeper model.

    Of two sizes, one is that of blocks of another kind, or of an odd one out.
    """
    for each in blocks:
        inside: dict[str, list[fx.Node]] = {}
        for name, node in aligned.wide.params.items():
            number = block_of(name, each.container)
            if number is not None:
                inside.setdefault(name.removeprefix(f"{each.name(number)}."), []).append(node)
        odd = {below for below, nodes in inside.items() if _groups(*_sizes(nodes)) > 2}
        yield from (name for number in each.numbers for below in odd if (name := f"{each.name(number)}.{below}"))


def _sizes(nodes: Sequence[fx.Node]) -> tuple[list[float], float]:
    """The sizes of drawn tensors, and how far two of them may be apart by chance."""
    entries = math.prod(nodes[0].meta["shape"])
    return sorted(node.meta["rms"] for node in nodes if node.meta["rms"]), WRONG_INIT_ERRORS / math.sqrt(entries)


def _groups(numbers: Sequence[float], apart: float) -> int:
    """How many different sizes there are among numbers in order."""
    return bool(numbers) + sum(math.log(b / a) > apart for a, b in itertools.pairwise(numbers))


def _by_place(deeper: Program, stream: Stream) -> Iterator[Unread]:
    """Constants that are another number in every block: how they follow depth, two probes do not show.

    Of several on one line, the first of one block is held against the first of the others, and so on.
    """
    found: dict[tuple[str | None, int | None, str, int], list[Value]] = {}
    before: dict[tuple[object, ...], int] = {}
    for v in deeper.values:
        if v.kind == "scale" and not v.weight and any(number >= 0 for _, number in stream.origins[v]):
            here = v.op.file, v.op.line, v.op.module, stream.origins[v]
            place = before[here] = before.get(here, 0) + 1
            found.setdefault((v.op.file, v.op.line, pattern_of(v.op.module), place), []).append(v)
    for values in found.values():
        numbers = sorted({v.factor for v in values if v.factor})
        if _groups(numbers, _SAME) > 2:
            reason = "a constant here depends on the place of the block: how it follows their number is not known"
            yield Unread(pattern_of(values[0].op.module), values[0].op, reason)
