"""The matrices that the graph uses a stored weight as: one, a third of its rows each, one for every expert.

Where each of a weight's entries goes is found by moving the numbers of the entries through the views to the product
that reads them, and the numbers of the outputs on to what reads those: what is added up again (the halves of a
rotation) is one matrix, what is multiplied (gate and up) or contracted (queries and keys) is two.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import fx

from .. import ops
from ..ops.functions import Function, Homogeneous
from ..ops.moves import Moves
from ..ops.products import Contracts, Convolves, FusedAttention, Multiplies
from ..ops.reductions import Normalises
from ..trace.align import op_name
from .outputs import as_moved, outputs_of
from .values import Value

Group = frozenset[int]  # of outputs, by their numbers
Layers = tuple[torch.Tensor | Sequence[torch.Tensor], ...]  # the outputs that every entry is made of, several added up

FOREIGN = -1  # in place of an output's number, where an entry is made of something else
MOST_PLACES = 256  # of the leading dims, that are looked at
_JOINED = ("aten.cat", "aten.stack")
_ADDED = ("aten.add", "aten.sub")


@dataclass(frozen=True)
class Matrices:
    """What every entry of a stored weight belongs to; tensors of its shape, at the first probe.

    matrix: of several that the graph uses apart. head: of the smallest parts that it uses apart further on (a head of
    attention), or takes from further back. ins, outs: the dims of the weight along which inputs and outputs run.
    """

    matrix: torch.Tensor
    head: torch.Tensor
    ins: frozenset[int]
    outs: frozenset[int]

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many outputs, or for a stack how many entries, each matrix has."""
        dims = [dim for dim in range(self.matrix.dim()) if dim not in self.ins]
        flat = self.matrix.permute([*dims, *sorted(self.ins)]).flatten(len(dims))[..., 0] if self.ins else self.matrix
        return tuple(torch.unique(flat, return_counts=True)[1].tolist())


def matrices_of(v: Value) -> Matrices | None:
    """The matrices in the weight that a product reads; None where it is more than a view of one parameter."""
    along, entries = outputs_of(v), _entries(v.args[1]) if len(v.args) > 1 else None
    if along is None or entries is None:
        return None
    stored, numbers = entries
    if isinstance(ops.of(v.op.name), Convolves):
        inputs, outputs = torch.arange(numbers[0].numel()).expand(len(numbers), -1), torch.arange(len(numbers))
        outputs = outputs[:, None].expand_as(inputs)
        groups = v.op.narrow.args[8] if len(v.op.narrow.args) > 8 else 1
        stack = outputs * groups // len(numbers)  # type: ignore[operator]
        places = numbers.flatten(1), stack, inputs, outputs
    else:
        if numbers.dim() < 2 or numbers.shape[-1] != v.op.shape[along]:
            return None
        stack = torch.arange(numbers[..., 0, 0].numel()).view(numbers.shape[:-2])[..., None, None].expand_as(numbers)
        inputs = torch.arange(numbers.shape[-2])[:, None].expand_as(numbers)
        places = numbers, stack, inputs, torch.arange(numbers.shape[-1]).expand_as(numbers)
    of_entry = [_by_entry(places[0], each, stored) for each in places[1:]]
    if any(each is None for each in of_entry):
        return None
    stacked, ins, outs = (each for each in of_entry if each is not None)
    taken, heads = _groups(v.op.narrow, along)
    apart = taken[outs] + len(taken) * stacked
    ahead, behind = heads[outs], _heads_behind(v.args[0])
    from_head = behind[ins] if behind is not None and len(behind) > int(ins.max()) else torch.zeros_like(ins)
    finest = torch.unique(torch.stack([apart, ahead, from_head]).flatten(1), dim=1, return_inverse=True)[1]
    return Matrices(apart, finest.view(apart.shape), _dims_along(ins), _dims_along(outs))


def _entries(x: Value) -> tuple[tuple[int, ...], torch.Tensor] | None:
    """The shape of a parameter that x is a view of, and which of its entries stands at each place of x."""
    chain = [x]
    while chain[-1].kind == "view":
        chain.append(chain[-1].args[0])
    if chain[-1].kind != "param":
        return None
    shape = tuple(chain[-1].op.shape)
    numbers: torch.Tensor | None = torch.arange(torch.Size(shape).numel()).view(shape)
    for below, above in pairwise(chain[::-1]):
        numbers = None if numbers is None else as_moved(above, below, numbers.contiguous())
    return None if numbers is None else (shape, numbers)


def _by_entry(numbers: torch.Tensor, said: torch.Tensor, stored: Sequence[int]) -> torch.Tensor | None:
    """What is said of the entries at their places, by the entries as they are stored; None where some are not read."""
    found = torch.full([torch.Size(stored).numel()], -1)
    found[numbers.flatten()] = said.flatten()
    return None if bool((found < 0).any()) else found.view(list(stored))


def _dims_along(numbers: torch.Tensor) -> frozenset[int]:
    """The dims along which they vary."""
    return frozenset(d for d in range(numbers.dim()) if bool((numbers != numbers.narrow(d, 0, 1)).any()))


# -- where outputs go -------------------------------------------------------------------------------------------------
def _groups(product: fx.Node, dim: int) -> tuple[torch.Tensor, torch.Tensor]:
    """For every output, the number of the group that is read together, and that of its head."""
    shape = product.meta["shape"]
    numbers = torch.arange(shape[dim]).view(-1, *(1 for _ in shape[dim + 1 :])).expand(shape).contiguous()
    held: dict[fx.Node, Layers] = {product: (numbers,)}
    read: list[Group] = []
    heads: list[Group] = []
    for node in product.graph.nodes:
        above = [each for each in node.all_input_nodes if each in held]
        if not above or node is product:
            continue
        made = _made(node, above, held)
        if made is not None:
            held[node] = made
            continue
        read += [_all(held[each]) for each in above]
        if isinstance(ops.of(op_name(node)), (Contracts, FusedAttention, Normalises)):
            last = 1 if isinstance(ops.of(op_name(node)), Normalises) else 2
            heads += [each for one in above for each in _by_place(held[one], last)]
    read += [_all(layers) for node, layers in held.items() if not node.users]
    return _numbered(_merged(read), shape[dim]), _numbered(heads, shape[dim])


def _made(node: fx.Node, above: Sequence[fx.Node], held: Mapping[fx.Node, Layers]) -> Layers | None:
    """Of which outputs each entry of what a node makes is made; None where it does more than move, scale and add."""
    declared, name, shape = ops.of(op_name(node)), op_name(node), node.meta.get("shape")
    alone = len(node.all_input_nodes) == 1
    if isinstance(declared, Moves) and alone:
        return _run(node, held[above[0]]) if declared.exact else _as_they_are(above, held, shape)
    if name in _JOINED:
        return _joined(node, held)
    if name in _ADDED and (len(above) > 1 or _adds_parameter(node, above[0])):
        return _as_they_are(above, held, shape)
    if alone and isinstance(declared, (Function, Homogeneous)):
        return _as_they_are(above, held, shape)
    same = all(_all(held[each]) == _all(held[above[0]]) for each in above)
    return _as_they_are(above[:1], held, shape) if isinstance(declared, Multiplies) and same else None


def _as_they_are(above: Sequence[fx.Node], held: Mapping[fx.Node, Layers], shape: object) -> Layers | None:
    layers = [each for one in above for each in held[one]]
    return tuple(layers) if all(isinstance(e, torch.Tensor) and tuple(e.shape) == shape for e in layers) else None


def _adds_parameter(node: fx.Node, above: fx.Node) -> bool:
    return all("param" in each.meta for each in node.all_input_nodes if each is not above)


def _run(node: fx.Node, layers: Layers) -> Layers | None:
    """The numbers moved as the entries are."""
    try:
        return tuple(node.target(each, *node.args[1:], **node.kwargs) for each in layers)  # type: ignore[operator]
    except RuntimeError:  # a view that only the strides of what it was made from allow
        return None


def _joined(node: fx.Node, held: Mapping[fx.Node, Layers]) -> Layers | None:
    """Tensors one after the other, what is made of something else among them."""
    parts = node.args[0]
    if not isinstance(parts, (list, tuple)) or not all(isinstance(each, fx.Node) for each in parts):
        return None
    nodes = [each for each in parts if isinstance(each, fx.Node)]
    of_parts = [held.get(each, (torch.full(each.meta["shape"], FOREIGN),)) for each in nodes]
    if not all(isinstance(each, torch.Tensor) for layers in of_parts for each in layers):
        return None
    most = max(map(len, of_parts))
    rest = node.args[1:]
    return tuple(node.target([layers[i % len(layers)] for layers in of_parts], *rest) for i in range(most))  # type: ignore[operator]


def _all(layers: Layers) -> Group:
    """The outputs that are in what a node makes."""
    tensors: list[torch.Tensor] = []
    for each in layers:
        tensors += [each] if isinstance(each, torch.Tensor) else list(each)
    return frozenset(number for each in tensors for number in torch.unique(each).tolist()) - {FOREIGN}


def _by_place(layers: Layers, last: int) -> Iterator[Group]:
    """The outputs at every place of the leading dims: all but so many of the last ones."""
    tensors = [each.flatten(0, -last - 1) for each in layers if isinstance(each, torch.Tensor) and each.dim() > last]
    if len(tensors) == len(layers):
        for place in range(min(len(tensors[0]), MOST_PLACES)):
            yield _all(tuple(each[place] for each in tensors))


def _merged(groups: Iterable[Group]) -> list[Group]:
    """Groups that have an output in common are one."""
    found: list[Group] = []
    for group in groups:
        common = [each for each in found if each & group]
        found = [each for each in found if not each & group] + [group.union(*common)]
    return found


def _numbered(groups: Iterable[Group], count: int) -> torch.Tensor:
    """For every output, a number that it shares with those that are in the same groups."""
    held: list[list[int]] = [[] for _ in range(count)]
    for number, group in enumerate(dict.fromkeys(groups)):
        for each in group:
            held[each].append(number)
    numbers: dict[tuple[int, ...], int] = {}
    return torch.tensor([numbers.setdefault(tuple(each), len(numbers)) for each in held])


def _heads_behind(x: Value) -> torch.Tensor | None:
    """For every input, which head of attention it comes from, where inputs are several dims made one."""
    chain = [x]
    while chain[-1].kind == "view":
        chain.append(chain[-1].args[0])
    shape = tuple(chain[-1].op.shape)
    found = []
    for dim, size in enumerate(shape[1:-1], 1):
        numbers: torch.Tensor | None = torch.arange(size).view(-1, *(1 for _ in shape[dim + 1 :])).expand(shape)
        for below, above in pairwise(chain[::-1]):
            numbers = None if numbers is None else as_moved(above, below, numbers.contiguous())
        if numbers is None or not numbers.dim():
            return None
        row = numbers.flatten(0, -2)[0] if numbers.dim() > 1 else numbers
        if bool((row != row[0]).any()):
            found.append(row)
    return None if not found else torch.unique(torch.stack(found), dim=1, return_inverse=True)[1]
