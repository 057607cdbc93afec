"""A weight whose outputs are taken apart into some that grow and others that do not: a weight for each part.

`x_proj(x).split([rank, state, state])` is three products with three matrices, stored as one. Which outputs every reader
sees is found by moving their numbers along (`outputs_read`); the program is then written again with a parameter, a
product and a bias for every part, so that each is a use with a role of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import fx

from .. import ops
from ..ops.moves import Moves
from ..trace.align import op_name
from .builder import Result
from .lower import Program
from .operands import axis_at, axis_below, parameters_in
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
    """A program in which every such parameter is several, and what they are called there."""

    program: Program
    parts: Mapping[str, RowPart]


Ranges = tuple[tuple[int, int], tuple[int, int], float]  # of outputs at both probes, and how their number grows


@dataclass(frozen=True)
class _Product:
    """A product that is taken apart.

    made: it with its bias, in order. tensors: its parameters, with the dim that the outputs are. leaves: the values
    that read one part alone, and which.
    """

    made: tuple[Value, ...]
    tensors: Mapping[str, int]
    ranges: Sequence[Ranges]
    leaves: Mapping[Value, int]


def taken_apart(program: Program) -> TakenApart | None:
    """The program with a parameter for every part; None where no weight makes some outputs that grow and some not."""
    live = program.reaching_outputs()
    found = [p for v in program.values if v in live and makes_rows(v) and (p := _product(v, program, live))]
    whole = _also_whole(program, live, found)
    found = [product for product in found if not whole & set(product.tensors)]
    return _written_again(program, found) if found else None


def makes_rows(v: Value) -> bool:
    """Whether the last dim of a value is the outputs of a weight: of a product with it as the second factor."""
    return v.kind == "contract" and v.args[1].weight and axis_at(v, v.args[1]) == 0 and not v.derivative


def _product(v: Value, program: Program, live: set[Value]) -> _Product | None:
    """What is to be known to write one product as several; None where its outputs are not taken apart."""
    ranges = growth(v, program)
    tensors = weight_viewed(v.args[1], 1) if ranges else None
    if tensors is None or v.args[0].weight:
        return None
    last = program.value_of(v.op.narrow)
    made, leaves = [v], dict[Value, int]()
    if last is not v and last is not None and not _added(last, v, made, tensors):
        return None
    mixed = {v, *made}
    ends = {*program.aligned.narrow.boundary, program.aligned.narrow.loss}
    for narrow, numbers in _moved(v.op.narrow):
        value = program.value_of(narrow)
        if value is None or value in leaves:
            continue
        part = _part_of(numbers, [each[0] for each in ranges])
        if part is not None and value.kind == "view" and value.args[0] in mixed:
            leaves[value] = part
        elif value in mixed or (value.kind == "view" and value.args[0] in mixed):
            mixed.add(value)
        elif value.kind == "join" and made[-1] in value.args and value.dims == made[-1].dims:
            if not _added(value, made[-1], made, tensors):
                return None
            mixed.add(value)
        if value in mixed and narrow in ends:
            return None
    read = [each for each in program.values if each in live and mixed & set(each.args)]
    return _Product(tuple(made), tensors, ranges, leaves) if all(r in mixed or r in leaves for r in read) else None


def _added(total: Value, term: Value, made: list[Value], tensors: dict[str, int]) -> bool:
    """Whether `total` is `term` and a bias; noted then."""
    others = [a for a in total.args if a is not term]
    bias = weight_viewed(others[0], 0) if len(others) == 1 and total.kind == "join" else None
    if bias is None or len(total.args) != 2:
        return False
    tensors.update(bias)
    made.append(total)
    return True


def weight_viewed(x: Value, dim: int = 1) -> dict[str, int] | None:
    """The parameter that x is a view of, with the dim of it that is dim `dim` of x; None where it is more."""
    rank = len(x.dims)
    while x.kind == "view":
        below = axis_below(x, 1 - dim) if rank == 2 else 1 - dim
        if below is None or len(x.args[0].dims) != rank:
            return None
        x, dim = x.args[0], 1 - below
    return {x.name: dim} if x.kind == "param" else None


def _part_of(numbers: object, ranges: Sequence[tuple[int, int]]) -> int | None:
    """The one range that all numbers lie in."""
    if not isinstance(numbers, torch.Tensor) or not numbers.numel():
        return None
    first, last = int(numbers.min()), int(numbers.max())
    return next((i for i, (start, stop) in enumerate(ranges) if start <= first and last < stop), None)


def _also_whole(program: Program, live: set[Value], products: Sequence[_Product]) -> set[str]:
    """The parameters of products that something else reads too, or that are taken apart in two ways."""
    ranges: dict[str, set[tuple[Ranges, ...]]] = {}
    for product in products:
        for name in product.tensors:
            ranges.setdefault(name, set()).add(tuple(product.ranges))
    reads = {(value, name) for product in products for value in product.made for name in product.tensors}
    other = {name for name, ways in ranges.items() if len(ways) > 1}
    for v in program.values:
        if v in live and not v.weight:
            names = {name for a in v.args if a.weight for name in parameters_in(a)}
            other |= {name for name in names & ranges.keys() if (v, name) not in reads}
    return other


def _written_again(program: Program, products: Sequence[_Product]) -> TakenApart:
    """Every value once more, and those of the products once a part, in their order."""
    writing = _Writing()
    by_last = {product.made[-1]: product for product in products}
    leaves = {leaf: (product, part) for product in products for leaf, part in product.leaves.items()}
    for v in program.values:
        if v in leaves:
            product, part = leaves[v]
            writing.add(v, replace(v, args=(writing.of_part[product.made[-1], part],)))
        else:
            writing.add(v, replace(v, args=tuple(writing.copies[a] for a in v.args)))
        if v in by_last:
            writing.parts_of(by_last[v])
    of = {node: _mapped(result, writing.copies) for node, result in program.of.items()}
    return TakenApart(replace(program, values=tuple(writing.values), of=of), writing.parts)


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

    def parts_of(self, product: _Product) -> None:
        """The product and its biases, for every part of the outputs."""
        first = product.made[0]
        for number, ranges in enumerate(product.ranges):
            e = ranges[2]
            before: Value | None = None
            for made in product.made:
                args: list[Value] = []
                for a in made.args:
                    if a in product.made:
                        assert before is not None
                        args.append(before)
                    elif a.weight:
                        args.append(self._weight(a, len(a.dims) - 1, ranges))
                    else:
                        args.append(self.copies[a])
                dims = (*made.dims[:-1], e)
                out = (made.e_out[0], e) if made is first else made.e_out
                before = self.add(None, replace(made, args=tuple(args), dims=dims, e_out=out))
            assert before is not None
            self.of_part[product.made[-1], number] = before

    def _weight(self, x: Value, dim: int, ranges: Ranges) -> Value:
        """Some rows of a parameter, moved as x is; `dim` is the one of x that the outputs are."""
        if x.kind != "param":
            below = dim if len(x.dims) == 1 else 1 - (axis_below(x, 1 - dim) or 0)
            inner = self._weight(x.args[0], below, ranges)
            return self.add(None, replace(x, args=(inner,), dims=_with(x.dims, dim, ranges[2])))
        part = RowPart(x.name, dim, *ranges)
        if part.name not in self._parameters:
            self.parts[part.name] = part
            new = replace(x, rows=part.rows, dims=_with(x.dims, dim, ranges[2]))
            self._parameters[part.name] = self.add(None, new)
        return self._parameters[part.name]


def _with(dims: tuple[float, ...], dim: int, e: float) -> tuple[float, ...]:
    return (*dims[:dim], e, *dims[dim + 1 :])


def _mapped(result: Result, copies: Mapping[Value, Value]) -> Result:
    if isinstance(result, tuple):
        return tuple(None if each is None else copies.get(each, each) for each in result)
    return copies.get(result, result)


def growth(product: Value, program: Program) -> list[Ranges]:
    """The outputs of a product in parts that grow and parts that do not, in turn; nothing where all are alike."""
    op = product.op
    if op.wide is None:
        return []
    narrow, wide = (sorted(outputs_read(node)) for node in (op.narrow, op.wide))
    if len(narrow) != len(wide) or len(narrow) < 2:
        return []
    if not (cover(narrow, op.narrow.meta["shape"][-1]) and cover(wide, op.wide.meta["shape"][-1])):
        return []
    sizes = program.aligned.sizes
    found: list[Ranges] = []
    for a, b in zip(narrow, wide, strict=True):
        if found and (found[-1][2] > 0) == (sizes(a[1] - a[0], b[1] - b[0]) > 0):
            first, second, _ = found.pop()
            a, b = (first[0], a[1]), (second[0], b[1])
        found.append((a, b, sizes(a[1] - a[0], b[1] - b[0])))
    return found if len(found) > 1 else []


def cover(ranges: Sequence[tuple[int, int]], count: int) -> bool:
    """Whether the ranges follow one another and are all of so many outputs."""
    edges = [0, *(stop for _, stop in ranges)]
    return [start for start, _ in ranges] == edges[:-1] and edges[-1] == count


def outputs_read(product: fx.Node) -> set[tuple[int, int]]:
    """The ranges of the last dim that are read by something that does more than move entries or add to each."""
    found: set[tuple[int, int]] = set()
    for node, numbers in _moved(product):
        read = [user for user in node.users if not (_moves(user) or _adds_bias(user, node, numbers))]
        if isinstance(numbers, torch.Tensor) and numbers.numel() and (read or not node.users):
            found.add((int(numbers.min()), int(numbers.max()) + 1))
    return found


def outputs_moved(product: fx.Node) -> Iterator[tuple[fx.Node, tuple[int, ...]]]:
    """What a product's entries are moved to, with the numbers of the outputs that are there."""
    for node, numbers in _moved(product):
        if isinstance(numbers, torch.Tensor):
            yield node, tuple(torch.unique(numbers).tolist())


def _moved(product: fx.Node) -> Iterator[tuple[fx.Node, object]]:
    """What a product's entries are moved to, with the number of the output that each entry is."""
    shape = product.meta["shape"]
    waiting: list[tuple[fx.Node, object]] = [(product, torch.arange(shape[-1]).expand(shape).contiguous())]
    while waiting:
        node, numbers = waiting.pop()
        yield node, numbers
        for user in node.users:
            if _moves(user):
                waiting.append((user, user.target(numbers, *user.args[1:], **user.kwargs)))  # type: ignore[operator]
            elif _adds_bias(user, node, numbers):
                waiting.append((user, numbers))


def _moves(node: fx.Node) -> bool:
    declared = ops.of(op_name(node))
    return isinstance(declared, Moves) and declared.exact and len(node.all_input_nodes) == 1


def _adds_bias(user: fx.Node, node: fx.Node, numbers: object) -> bool:
    """Whether a reader adds a parameter with an entry for every output, in their order."""
    others = [each for each in user.all_input_nodes if each is not node]
    if op_name(user) != "aten.add" or len(others) != 1 or user.meta.get("shape") != node.meta["shape"]:
        return False
    count = node.meta["shape"][-1] if node.meta["shape"] else 0
    in_order = isinstance(numbers, torch.Tensor) and bool((numbers == torch.arange(count)).all())
    return in_order and "param" in others[0].meta and tuple(others[0].meta["shape"]) == (count,)
