"""Where the outputs of a product go: their numbers, moved along with the entries.

Which entry of a moved value came from which output is found by running the operations that move on the numbers of the
outputs, at both probes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import fx

from .. import ops
from ..ops.functions import Function, Homogeneous
from ..ops.moves import Moves
from ..ops.products import Convolves
from ..trace.align import Op, op_name
from .lower import Program
from .operands import axis_at
from .values import PER_CHANNEL, Value

Ranges = tuple[tuple[int, int], tuple[int, int], float]  # of outputs at both probes, and how their number grows


def outputs_of(v: Value) -> int | None:
    """Which dim of a value is the outputs of a weight; None where there is no such one."""
    if v.kind != "contract" or v.derivative or not v.args[1].weight or v.args[0].weight:
        return None
    if isinstance(ops.of(v.op.name), Convolves):
        return 1 if v.note != PER_CHANNEL and not v.op.narrow.args[6] else None
    return len(v.op.shape) - 1 if axis_at(v, v.args[1]) == 0 else None


def growth(op: Op, dim: int, program: Program) -> list[Ranges]:
    """A dim of what an operation makes in parts that grow and parts that do not; nothing where all are alike."""
    sizes = program.aligned.sizes
    if op.wide is None:
        return []
    counts = [node.meta["shape"][dim] for node in (op.narrow, op.wide)]
    if sizes.whole(*counts):
        return []
    narrow, wide = (sorted(outputs_read(node, dim)) for node in (op.narrow, op.wide))
    if len(narrow) != len(wide) or len(narrow) < 2:
        return []
    if not all(cover(ranges, count) for ranges, count in zip((narrow, wide), counts, strict=True)):
        return []
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


def outputs_read(product: fx.Node, dim: int) -> set[tuple[int, int]]:
    """The ranges of outputs, dim `dim`, that are read by what does more than move entries, or change each by itself."""
    found: set[tuple[int, int]] = set()
    for node, numbers in moved_numbers(product, dim):
        read = [user for user in node.users if not (_moves(user) or _of_each(user, node, numbers))]
        if isinstance(numbers, torch.Tensor) and numbers.numel() and (read or not node.users):
            found.add((int(numbers.min()), int(numbers.max()) + 1))
    return found


def outputs_moved(product: fx.Node, dim: int) -> Iterator[tuple[fx.Node, tuple[int, ...]]]:
    """What a product's entries are moved to, with the numbers of the outputs, dim `dim`, that are there."""
    for node, numbers in moved_numbers(product, dim):
        if isinstance(numbers, torch.Tensor):
            yield node, tuple(torch.unique(numbers).tolist())


def moved_numbers(product: fx.Node, dim: int) -> Iterator[tuple[fx.Node, object]]:
    """What a product's entries are moved to, with the number of the output, dim `dim`, that each entry is."""
    shape = product.meta["shape"]
    numbers = torch.arange(shape[dim]).view(-1, *(1 for _ in shape[dim + 1 :])).expand(shape).contiguous()
    waiting: list[tuple[fx.Node, object]] = [(product, numbers)]
    while waiting:
        node, moved = waiting.pop()
        yield node, moved
        for user in node.users:
            if _moves(user):
                waiting.append((user, user.target(moved, *user.args[1:], **user.kwargs)))  # type: ignore[operator]
            elif _of_each(user, node, moved):
                waiting.append((user, moved))


def _moves(node: fx.Node) -> bool:
    declared = ops.of(op_name(node))
    return isinstance(declared, Moves) and declared.exact and len(node.all_input_nodes) == 1


def _of_each(user: fx.Node, node: fx.Node, numbers: object) -> bool:
    """Whether a reader is a function of every entry by itself, or adds a parameter with one for every output."""
    others = [each for each in user.all_input_nodes if each is not node]
    if user.meta.get("shape") != node.meta["shape"]:
        return False
    if not others:
        return isinstance(ops.of(op_name(user)), (Function, Homogeneous))
    if op_name(user) != "aten.add" or len(others) != 1 or not isinstance(numbers, torch.Tensor) or not numbers.dim():
        return False
    count = numbers.shape[-1]
    in_order = bool((numbers == torch.arange(count)).all())
    return in_order and "param" in others[0].meta and tuple(others[0].meta["shape"]) == (count,)


def dim_of(numbers: object) -> int | None:
    """The one dim that numbers run along."""
    if not isinstance(numbers, torch.Tensor):
        return None
    along = [d for d in range(numbers.dim()) if bool((numbers != numbers.narrow(d, 0, 1)).any())]
    return along[0] if len(along) == 1 else None


# -- where a weight is stored --------------------------------------------------------------------------------------
def weight_viewed(x: Value, dim: int = -1, scaled: bool = False) -> dict[Value, int] | None:
    """Where dim `dim` of x is one of a parameter that x is a view of: in x, and down to the parameter.

    scaled: constants on the way are looked through. Found by moving the numbers of the entries along each dim of the
    parameter; None where x is more than such a view.
    """
    chain = [x]
    while chain[-1].kind == "view" or (scaled and chain[-1].kind == "scale"):
        chain.append(chain[-1].args[0])
    parameter = chain[-1]
    if parameter.kind != "param":
        return None
    for first, size in enumerate(parameter.op.shape):
        numbers = torch.arange(size).view(-1, *(1 for _ in parameter.op.shape[first + 1 :])).expand(parameter.op.shape)
        levels = _levels(chain[::-1], numbers, first)
        if levels is not None and levels[x] == dim % len(x.op.shape):
            return levels
    return None


def _levels(chain: Sequence[Value], numbers: torch.Tensor, dim: int) -> dict[Value, int] | None:
    """Of every view of the first value, the one dim that its numbers run along, all of them and in order."""
    levels = {chain[0]: dim}
    for below, x in pairwise(chain):
        moved = numbers if x.kind == "scale" else as_moved(x, below, numbers.contiguous())
        along = [d for d, size in enumerate(moved.shape) if size == chain[0].op.shape[dim]] if moved is not None else []
        ordered = [d for d in along if moved is not None and _runs(moved, d)]
        if moved is None or len(ordered) != 1:
            return None
        numbers, levels[x] = moved, ordered[0]
    return levels


def as_moved(x: Value, below: Value, numbers: torch.Tensor) -> torch.Tensor | None:
    """What one view does to numbers in the place of entries; None where that is not known."""
    if x.op.index == below.op.index:
        return numbers
    if not _moves(x.op.narrow):
        return numbers if x.op.shape == below.op.shape else None
    try:
        moved: Any = x.op.narrow.target(numbers, *x.op.narrow.args[1:], **x.op.narrow.kwargs)  # type: ignore[operator]
    except RuntimeError:  # a view that only the strides of what it was made from allow
        return None
    return moved if isinstance(moved, torch.Tensor) else None


def _runs(numbers: torch.Tensor, dim: int) -> bool:
    """Whether numbers are those of their place along one dim."""
    place = torch.arange(numbers.shape[dim]).view(-1, *(1 for _ in numbers.shape[dim + 1 :]))
    return bool((numbers == place).all())
