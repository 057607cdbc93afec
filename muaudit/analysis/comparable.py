"""Two probes that run the same operations: what only one of them runs has no exponent.

`if mult != 1: x = x * mult` is absent where a probe is the base width. The constant is then 1 there, which a third
probe shows: of three, two run the same code, and these are compared. Where no two do, what one runs alone is listed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from torch import fx

from .. import ops
from ..errors import UserError
from ..findings.names import pattern_of
from ..ops.functions import Homogeneous, Raises
from ..ops.moves import Moves
from ..ops.products import Multiplies
from ..targets.probe import Target
from ..trace.align import op_name
from ..trace.recorder import Recording
from .axis import Axis
from .probes import Probes

_PAIRS = ((0, 1), (1, 2), (0, 2), (1, 3), (2, 3))  # by preference; a later probe is built where 0 and 1 differ

_ARITHMETIC = (Multiplies, Raises, Homogeneous)  # what gives data another size

_Key = tuple[str, str, str | None, int | None]


@dataclass(frozen=True)
class Comparable:
    """The numbers of the two probes to compare, the target with just these, and what one of them runs alone: why."""

    pair: tuple[int, int]
    target: Target
    alone: Mapping[fx.Node, str] = field(default_factory=dict)


def comparable(target: Target, probes: Probes, axis: Axis) -> Comparable:
    """Two probes of up to four that run the same operations; the first two where none do."""
    first: Mapping[fx.Node, str] = {}
    for pair in _PAIRS:
        try:
            recordings = probes[pair[0]].recording, probes[pair[1]].recording
        except UserError:
            if max(pair) > 1:  # the model cannot be built or run at that size
                continue
            raise
        odd = alone(recordings, [axis.size(target, number) for number in pair])
        if not odd:
            return Comparable(pair, target if pair == (0, 1) else _at(target, axis, pair, first))
        first = first or odd
    return Comparable((0, 1), target, first)


def alone(recordings: tuple[Recording, Recording], widths: Sequence[int]) -> dict[fx.Node, str]:
    """Why the exponent is not known, of every operation on parameters that has no like in the other recording."""
    keys = _keys(recordings[0]), _keys(recordings[1])
    found: dict[fx.Node, str] = {}
    for mine, other, width in ((keys[0], keys[1], widths[0]), (keys[1], keys[0], widths[1])):
        for key in (key for key in mine if key not in other):
            name = key[0].removeprefix("aten.")
            found |= dict.fromkeys(mine[key], f"{name} runs at width {width} alone, so its exponent is not known")
    return found


def _keys(recording: Recording) -> dict[_Key, list[fx.Node]]:
    """Operations by what they are and where: loops that turn more often at a larger width run no other ones.

    Those that only move entries are left out: whether heads are repeated once or not at all, sizes stay as they are.
    Of those on data alone, such as a mask, the ones count that give the batch another size.
    """
    found: dict[_Key, list[fx.Node]] = {}
    for node in recording.graph.nodes:
        name = op_name(node)
        counts = _counts(ops.of(name), node.meta["weight"], node.meta["data"])
        if node.op == "call_function" and counts:
            key = name, pattern_of(node.meta["module"]), node.meta.get("file"), node.meta.get("line")
            found.setdefault(key, []).append(node)
    return found


def _counts(what: ops.Operation | None, weight: bool, data: bool) -> bool:
    return not isinstance(what, Moves) if weight else data and isinstance(what, _ARITHMETIC)


def _at(target: Target, axis: Axis, pair: tuple[int, int], odd: Iterable[fx.Node]) -> Target:
    """The target, probed at another pair of its sizes."""
    name, node, first = axis.argument(target), next(iter(odd)), [axis.size(target, number) for number in (0, 1)]
    narrow, wide = (axis.size(target, number) for number in pair)
    file, line = node.meta.get("file"), node.meta.get("line")
    where = f" ({Path(file).name}:{line})" if file else ""
    note = (
        f"{name} {first[0]} and {first[1]} run different operations{where}, as behind an `if` on the base width: "
        f"judged at {name} {narrow} → {wide}"
    )
    return replace(axis.at(target, pair), notes=(*target.notes, note))
