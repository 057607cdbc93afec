"""Align the recordings of two sizes: one `Op` per recorded operation, with sizes and constants at both.

The structure (which value feeds which) is taken from the narrow recording; the wide one supplies the second size of
every dim and the second value of every constant. Where routing or loops over heads make the two graphs differ,
operations are matched within each module call, in order.
"""

from __future__ import annotations

import math
import operator
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import Any

import torch
from torch import fx

from .. import ops
from ..ops.moves import SizedByData
from .backward import function_input
from .recorder import Recording, written_alias


@dataclass(frozen=True, eq=False)
class Op:
    """One operation at two widths. `wide` is None where the wide recording has no counterpart."""

    index: int
    name: str  # "aten.mm", "getitem", "written_alias", "placeholder"
    narrow: fx.Node
    wide: fx.Node | None
    dims: tuple[float, ...]  # width exponent of every dim of the (first) output

    @property
    def module(self) -> str:
        return str(self.narrow.meta["module"])

    @property
    def file(self) -> str | None:
        return self.narrow.meta.get("file")

    @property
    def line(self) -> int | None:
        return self.narrow.meta.get("line")

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.narrow.meta["shape"])

    @property
    def dtype(self) -> torch.dtype | None:
        return self.narrow.meta.get("dtype")

    def rms(self) -> tuple[float | None, float | None]:
        wide = self.wide.meta.get("rms") if self.wide is not None else self.narrow.meta.get("rms")
        return self.narrow.meta.get("rms"), wide


@dataclass(frozen=True)
class Third:
    """A third recording, for constants that two leave in doubt. unit: log of its width over that of the second."""

    by_node: Mapping[fx.Node, fx.Node]  # from nodes of the first
    unit: float


@dataclass(frozen=True)
class Aligned:
    """Two recordings as one list of operations, and the size exponents they were read with."""

    ops: tuple[Op, ...]
    by_node: dict[fx.Node, Op]
    narrow: Recording
    wide: Recording
    sizes: SizeExponents
    alone: Mapping[fx.Node, str] = field(default_factory=dict)  # what one of the two runs alone: why it is not known
    third: Third | None = None


class SizeExponents:
    """Turns a size seen at both widths into a width exponent.

    `ratios` are the growth factors of the width arguments, the main one first; exponents are in units of the main one.
    A size that grows like a·n + b has exponent 1: what counts is large width.
    """

    def __init__(self, ratios: Sequence[float]) -> None:
        self.unit = math.log(ratios[0])
        singles = {round(math.log(r) / self.unit, 9) for r in ratios if r != 1}
        self.units = tuple(sorted(singles)) or (1.0,)
        self.known = sorted(singles | {a + b for a in singles for b in singles} | {a / 2 for a in singles})
        self.data_sized: set[tuple[int, int]] = set()
        self.seen: dict[int, Counter[float]] = defaultdict(Counter)

    def __call__(self, narrow: int, wide: int) -> float:
        if narrow == wide or narrow <= 0 or wide <= narrow or (narrow, wide) in self.data_sized:
            exponent = 0.0
        else:
            exact = math.log(wide / narrow) / self.unit
            near = [e for e in self.known if abs(e - exact) < 1e-6]
            exponent = near[0] if near else float(max(1, round(exact)))
        self.seen[narrow][exponent] += 1
        return exponent

    def whole(self, narrow: int, wide: int) -> bool:
        """Whether a size stays or grows by just a power of width: no sum of some that grow and some that do not."""
        exact = math.log(wide / narrow) / self.unit if min(narrow, wide) > 0 else 0.0
        return any(abs(exact - e) < 1e-6 for e in (0.0, *self.known))

    def guess(self, narrow: int) -> float:
        """The usual exponent of a size seen at the narrow width only."""
        counts = self.seen.get(narrow)
        return counts.most_common(1)[0][0] if counts else 0.0


def op_name(node: fx.Node) -> str:
    """`aten.mm` for an operation of any overload."""
    target: Any = node.target
    if node.op == "placeholder":
        return "placeholder"
    if target is operator.getitem:
        return "getitem"
    if target is written_alias:
        return "written_alias"
    if target is function_input:
        return "function_input"
    return ops.name_of(target)


_ALIKE = {"aten._unsafe_view": "aten.view", "aten._reshape_alias": "aten.view"}
"""Of a reshape: which of them runs depends on how the tensor lies in memory, as with one head and with several."""
Names = Callable[[str], str | None]  # from names in one recording to those in another; None for what is not in it


def _same(name: str) -> str:
    return name


def align(
    narrow: Recording,
    wide: Recording,
    ratios: Sequence[float],
    alone: Mapping[fx.Node, str] | None = None,
    third: tuple[Recording, float] | None = None,
    names: Sequence[Names] = (_same, _same),
) -> Aligned:
    """Match two recordings operation by operation.

    alone: what has no like in the other recording, and the reason to give. third: a wider recording, and the log of its
    width over that of `wide`. names: what modules and parameters of `wide` and of the third are called in `narrow`.
    """
    matches = _match(list(narrow.graph.nodes), list(wide.graph.nodes), names[0])
    sizes = SizeExponents(ratios)
    for node, other in matches.items():
        if isinstance(ops.of(op_name(node)), SizedByData):
            sizes.data_sized |= set(zip(node.meta["shape"], other.meta["shape"], strict=False))
    found: list[Op] = []
    for node in narrow.graph.nodes:  # matched first, so that guesses for the others have something to go by
        match = matches.get(node)
        dims = _dims(node, match, sizes) if match is not None else ()
        found.append(Op(len(found), op_name(node), node, match, dims))
    by_node = {op.narrow: op for op in found}
    for op in found:
        if op.wide is None:
            by_node[op.narrow] = _guessed(op, by_node, sizes)
    found = list(by_node.values())
    later = Third(_match(list(narrow.graph.nodes), list(third[0].graph.nodes), names[1]), third[1]) if third else None
    return Aligned(tuple(found), by_node, narrow, wide, sizes, alone or {}, later)


def _dims(node: fx.Node, other: fx.Node, sizes: SizeExponents) -> tuple[float, ...]:
    a, b = node.meta["shape"], other.meta["shape"]
    return tuple(sizes(x, y) for x, y in zip(a, b, strict=True)) if len(a) == len(b) else tuple(0.0 for _ in a)


def _guessed(op: Op, known: Mapping[fx.Node, Op], sizes: SizeExponents) -> Op:
    """The operation with the dims of what it reads, where it leaves the shape as it is; else with the usual ones."""
    read = known.get(op.narrow.args[0]) if op.narrow.args and isinstance(op.narrow.args[0], fx.Node) else None
    dims = read.dims if read is not None and read.shape == op.shape else tuple(map(sizes.guess, op.shape))
    return Op(op.index, op.name, op.narrow, None, dims)


def _match(narrow: list[fx.Node], wide: list[fx.Node], names: Names) -> dict[fx.Node, fx.Node]:
    if [n.target if n.op != "placeholder" else n.op for n in narrow] == [
        n.target if n.op != "placeholder" else n.op for n in wide
    ]:
        return dict(zip(narrow, wide, strict=True))
    return _match_by_module(narrow, wide, names)


def _match_by_module(narrow: list[fx.Node], wide: list[fx.Node], names: Names) -> dict[fx.Node, fx.Node]:
    groups_narrow, groups_wide = _groups(narrow, _same), _groups(wide, names)
    matches: dict[fx.Node, fx.Node] = {}
    for key, nodes in groups_narrow.items():
        others = groups_wide.get(key, [])
        keys, other_keys = [_key(n, _same) for n in nodes], [_key(n, names) for n in others]
        for block in SequenceMatcher(None, keys, other_keys, autojunk=False).get_matching_blocks():
            for offset in range(block.size):
                matches[nodes[block.a + offset]] = others[block.b + offset]
    return matches


def _groups(nodes: list[fx.Node], names: Names) -> dict[tuple[str, int], list[fx.Node]]:
    groups: dict[tuple[str, int], list[fx.Node]] = defaultdict(list)
    for node in nodes:
        module = names(node.meta["module"])
        if module is not None:
            groups[(module, node.meta["call"])].append(node)
    return groups


def _key(node: fx.Node, names: Names) -> tuple[Any, ...]:
    if node.op == "placeholder":
        leaf = node.meta.get("leaf")
        return ("placeholder", names(leaf) if leaf is not None else None)
    name = op_name(node)
    return (_ALIKE.get(name, name), node.meta.get("line"), len(node.meta["shape"]))
