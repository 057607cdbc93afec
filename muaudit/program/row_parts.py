"""A weight whose outputs are taken apart into some that grow and others that do not: a weight for each part.

`x_proj(x).split([rank, state, state])` is three products with three matrices, stored as one. Which outputs every reader
sees is found by moving their numbers along (`outputs`); the program is then written again with a parameter, a
product and a bias for every part, so that each is a use with a role of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from .. import ops
from ..ops.products import Convolves
from ..trace.align import Op
from .builder import Result
from .lower import Program
from .operands import parameters_in
from .outputs import Ranges, dim_of, growth, moved_numbers, outputs_of, weight_viewed
from .use import row_name
from .values import Value


@dataclass(frozen=True)
class RowPart:
    """Consecutive outputs that one parameter makes, or is added to, from `start` to `stop` at both probes.

    tensor: the parameter. dim: which of its dims the outputs are. e: width exponent of their number.
    """

    tensor: str
    dim: int
    narrow: tuple[int, int]
    wide: tuple[int, int]
    e: float

    @property
    def rows(self) -> str:
        """Which rows, at the first probe."""
        return f"{self.narrow[0]}:{self.narrow[1]}"

    @property
    def name(self) -> str:
        """What its initialization goes by."""
        return row_name(self.tensor, self.rows)

    def of(self, parameter: torch.Tensor, probe: int) -> torch.Tensor:
        """Its entries of the parameter at a probe (0 or 1)."""
        start, stop = (self.narrow, self.wide)[probe]
        return parameter.narrow(self.dim, start, stop - start)


@dataclass(frozen=True)
class TakenApart:
    """A program in which every such parameter is several, and what they are called there.

    whole: the parameters that should be, and are not, each with an operation that it is used by.
    """

    program: Program
    parts: Mapping[str, RowPart]
    whole: Mapping[str, Op]


@dataclass(frozen=True)
class _Whole:
    """A product that is taken apart, or a parameter.

    made: it, its bias and functions of single entries behind it, in order, with the dim that the outputs are. shows:
    of what moves their entries too, which of these. levels: of its parameters, and of what these are moved to, the dim
    that the outputs are. leaves: the values that read one part alone, and which.
    """

    made: dict[Value, int]
    shows: dict[Value, Value]
    levels: dict[Value, int]
    ranges: Sequence[Ranges]
    leaves: dict[Value, int]

    @property
    def tensors(self) -> frozenset[str]:
        """The names of its parameters."""
        return frozenset(value.name for value in self.levels if value.kind == "param")


def taken_apart(program: Program) -> TakenApart | None:
    """The program with a parameter for every part; None where no weight makes some outputs that grow and some not."""
    live = program.reaching_outputs()
    found: list[_Whole] = []
    left: dict[str, Op] = {}
    for v in (v for v in program.values if v in live):
        ranges = _outputs_of_each_kind(v, program)
        whole = None if ranges is None else _product(v, ranges, program, live)
        whole = _parameter(v, program, live) if whole is None and v.kind == "param" else whole
        if whole is not None:
            found.append(whole)
        elif ranges:
            left |= dict.fromkeys(parameters_in(v.args[1]), v.op)
    also = _also_whole(program, live, found)
    left |= {name: each.op for whole in found for each in whole.made for name in also & whole.tensors}
    found = [whole for whole in found if not also & whole.tensors]
    return _written_again(program, found, left) if found or left else None


def _outputs_of_each_kind(v: Value, program: Program) -> list[Ranges] | None:
    along = outputs_of(v)
    return None if along is None else growth(v.op, along, program) or None


def _parameter(v: Value, program: Program, live: set[Value]) -> _Whole | None:
    """The same of a parameter of which every reader takes some rows."""
    for dim in range(len(v.op.shape) if v.kind == "param" else 0):
        ranges = growth(v.op, dim, program)
        whole = _Whole({v: dim}, {v: v}, {v: dim}, ranges, {})
        if ranges and _follow(whole, v, dim, program, live):
            return whole
    return None


def _product(v: Value, ranges: Sequence[Ranges], program: Program, live: set[Value]) -> _Whole | None:
    """What is to be known to write one product as several; None where that cannot be done."""
    along = outputs_of(v)
    weight = weight_viewed(v.args[1], 0 if isinstance(ops.of(v.op.name), Convolves) else -1)
    if weight is None or along is None:
        return None
    whole = _Whole({v: along}, {v: v}, weight, ranges, {})
    last = program.value_of(v.op.narrow)  # with the bias, where one operation adds it too
    if last is not None and last is not v and not _made(whole, last, along):
        return None
    return whole if _follow(whole, v, along, program, live) else None


def _follow(whole: _Whole, v: Value, along: int, program: Program, live: set[Value]) -> bool:
    """Note what shows outputs and what reads a part of them; whether there is nothing else."""
    ends = {*program.aligned.narrow.boundary, program.aligned.narrow.loss}
    for narrow, numbers in moved_numbers(v.op.narrow, along):
        value = program.value_of(narrow)
        if value is None or value in whole.leaves:
            continue
        part = _part_of(numbers, [each[0] for each in whole.ranges])
        moves = value.kind == "view" and value.args[0] in whole.shows
        if part is not None and moves:
            whole.leaves[value] = part
        elif moves:
            whole.shows[value] = whole.shows[value.args[0]]
        elif value not in whole.shows and whole.shows.keys() & set(value.args):
            dim = dim_of(numbers)
            if dim is None or not _made(whole, value, dim):
                return False
        if value in whole.shows and narrow in ends:
            return False
    known = whole.shows.keys() | whole.leaves.keys()
    return known >= {each for each in program.values if each in live and whole.shows.keys() & set(each.args)}


def _made(whole: _Whole, value: Value, dim: int) -> bool:
    """Whether a value is what was made so far and a bias, or a function of each entry of it; noted then."""
    others = [a for a in value.args if a not in whole.shows]
    if len(value.args) != len(others) + 1:
        return False
    if others:
        bias = weight_viewed(others[0]) if value.kind == "join" and len(others) == 1 else None
        if bias is None:
            return False
        whole.levels.update(bias)
    elif value.kind not in ("act", "power"):
        return False
    whole.made[value] = dim
    whole.shows[value] = value
    return True


def _part_of(numbers: object, ranges: Sequence[tuple[int, int]]) -> int | None:
    """The one range that all numbers lie in."""
    if not isinstance(numbers, torch.Tensor) or not numbers.numel():
        return None
    first, last = int(numbers.min()), int(numbers.max())
    return next((i for i, (start, stop) in enumerate(ranges) if start <= first and last < stop), None)


def _also_whole(program: Program, live: set[Value], products: Sequence[_Whole]) -> set[str]:
    """The parameters of products that something else reads too, or that are taken apart in two ways."""
    ranges: dict[str, set[tuple[Ranges, ...]]] = {}
    for product in products:
        for name in product.tensors:
            ranges.setdefault(name, set()).add(tuple(product.ranges))
    reads = {(value, name) for product in products for value in product.made for name in product.tensors}
    alone = {value.name for product in products for value in product.made if value.kind == "param"}
    other = {name for name, ways in ranges.items() if len(ways) > 1}
    for v in program.values:
        if v in live and not v.weight:
            names = {name for a in v.args if a.weight for name in parameters_in(a)}
            other |= {name for name in (names & ranges.keys()) - alone if (v, name) not in reads}
    return other


def _written_again(program: Program, products: Sequence[_Whole], left: Mapping[str, Op]) -> TakenApart:
    """Every value once more, and those of the products once a part, in their order."""
    writing = _Writing()
    made = {value: product for product in products for value in product.made}
    leaves = {leaf: (product, part) for product in products for leaf, part in product.leaves.items()}
    for v in program.values:
        if v in leaves:
            product, part = leaves[v]
            writing.add(v, replace(v, args=(writing.of_part[product.shows[v.args[0]], part],)))
        else:
            writing.add(v, replace(v, args=tuple(writing.copies[a] for a in v.args)))
        if v in made:
            writing.parts_of(v, made[v])
    of = {node: _mapped(result, writing.copies) for node, result in program.of.items()}
    return TakenApart(replace(program, values=tuple(writing.values), of=of), writing.parts, left)


class _Writing:
    """A program while it is written again."""

    def __init__(self) -> None:
        self.values: list[Value] = []
        self.copies: dict[Value, Value] = {}
        self.of_part: dict[tuple[Value, int], Value] = {}
        self.parts: dict[str, RowPart] = {}
        self._parameters: dict[str, Value] = {}

    def add(self, old: Value | None, new: Value) -> Value:
        new.index = len(self.values)
        self.values.append(new)
        if old is not None:
            self.copies[old] = new
        return new

    def parts_of(self, v: Value, product: _Whole) -> None:
        """What is made of the outputs, for every part of them."""
        for number, ranges in enumerate(product.ranges):
            if v.kind == "param":
                self.of_part[v, number] = self._weight(v, product.levels, ranges)
                continue
            args: list[Value] = []
            for a in v.args:
                if a in product.shows:
                    args.append(self.of_part[product.shows[a], number])
                else:
                    args.append(self._weight(a, product.levels, ranges) if a in product.levels else self.copies[a])
            out = (v.e_out[0], ranges[2]) if v.kind == "contract" else v.e_out
            new = replace(v, args=tuple(args), dims=_with(v.dims, product.made[v], ranges[2]), e_out=out)
            self.of_part[v, number] = self.add(None, new)

    def _weight(self, x: Value, levels: Mapping[Value, int], ranges: Ranges) -> Value:
        """Some rows of a parameter, moved as x is."""
        dims = _with(x.dims, levels[x], ranges[2])
        if x.kind != "param":
            return self.add(None, replace(x, args=(self._weight(x.args[0], levels, ranges),), dims=dims))
        part = RowPart(x.name, levels[x], *ranges)
        if part.name not in self._parameters:
            self.parts[part.name] = part
            self._parameters[part.name] = self.add(None, replace(x, rows=part.rows, dims=dims))
        return self._parameters[part.name]


def _with(dims: tuple[float, ...], dim: int, e: float) -> tuple[float, ...]:
    return (*dims[:dim], e, *dims[dim + 1 :])


def _mapped(result: Result, copies: Mapping[Value, Value]) -> Result:
    if isinstance(result, tuple):
        return tuple(None if each is None else copies.get(each, each) for each in result)
    return copies.get(result, result)
