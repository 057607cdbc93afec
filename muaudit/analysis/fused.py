"""Weights fused of outputs that grow and outputs that do not, which need different sizes at initialization.

`x_proj(x).split([rank, state, state])`, queries beside a fixed number of key heads: the rows that make what does not
grow are a readout inside of a hidden weight. One init and one learning rate cannot be right for both, so the weight is
judged by the part that grows, and the rest is advice here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import fx, nn

from .. import ops
from ..findings.discrepancy import Discrepancy
from ..judge.discrepancies import folded
from ..judge.edits import Judged
from ..ops.moves import Moves
from ..optimizers import law_of
from ..program.operands import axis_at, axis_below
from ..program.values import Value
from ..thresholds import TOLERANCE
from ..trace.align import op_name
from .analyse import Analysis


@dataclass(frozen=True)
class Slice:
    """Consecutive outputs of one product, from `start` to `stop` at both probes."""

    narrow: tuple[int, int]
    wide: tuple[int, int]
    grows: bool


def fused(known: Analysis, readout_bound: float) -> list[Discrepancy]:
    """Slices that start larger than a readout may, of hidden weights; nothing where something is wrong anyway.

    readout_bound: the exponent that the init of a readout may have at most.
    """
    scaling = known.scaling
    if scaling.discrepancies or scaling.ideal.unknown:
        return []
    found: dict[str, Discrepancy] = {}
    for j in scaling.judged:
        if j.use.kind == "tensor" and j.use.role == "hidden" and j.use.tensor not in found:
            told = [_judged(known, j, each, readout_bound) for each in _slices(known, j.use.value) if not each.grows]
            found |= {d.pattern: d for d in told if d is not None}
    return folded(list(found.values()))


def orthogonalised_as_one(known: Analysis) -> list[Discrepancy]:
    """Hidden weights under a law of spectral norms whose outputs are taken apart into several matrices."""
    found: dict[str, Discrepancy] = {}
    for j in known.scaling.judged:
        how, name, op = known.scaling.trained.get(j.use.tensor), j.use.tensor, j.use.value.op
        if how is None or not law_of(how.family).spectral or j.use.role != "hidden" or name in found:
            continue
        parts = sorted(_taken(op.narrow)) if _of_rows(j.use.value) else []
        if len(parts) > 1 and _parts(parts, op.narrow):
            sizes = tuple(float(stop - start) for start, stop in parts)
            found[name] = Discrepancy("orthogonalised_as_one", "hidden", (name,), name, 0.0, 0.0, op.file, op.line,
                                      module=op.module, values=sizes)  # fmt: skip
    return folded(list(found.values()))


# -- which outputs go where ----------------------------------------------------------------------------------------
def _slices(known: Analysis, product: Value) -> list[Slice]:
    """The slices that a product's outputs are taken apart into, where some grow and others do not; else none."""
    op = product.op
    if op.wide is None or not _of_rows(product):
        return []
    narrow, wide = (sorted(_taken(node)) for node in (op.narrow, op.wide))
    if len(narrow) != len(wide) or len(narrow) < 2 or not (_parts(narrow, op.narrow) and _parts(wide, op.wide)):
        return []
    sizes = known.scaling.aligned.sizes
    found: list[Slice] = []
    for a, b in zip(narrow, wide, strict=True):
        grows = sizes(a[1] - a[0], b[1] - b[0]) > 0
        if found and found[-1].grows == grows:
            last = found.pop()
            a, b = (last.narrow[0], a[1]), (last.wide[0], b[1])
        found.append(Slice(a, b, grows))
    return found if len(found) > 1 else []


def _of_rows(product: Value) -> bool:
    """Whether the outputs of a weight are the last dim: those of a product with it as the second factor."""
    one = product.kind == "contract" and axis_at(product, product.args[1]) is not None
    return one and bool(product.args[1].weight)


def _parts(ranges: list[tuple[int, int]], node: fx.Node) -> bool:
    """Whether the ranges follow one another and are all outputs there are."""
    edges = [0, *(stop for _, stop in ranges)]
    return [start for start, _ in ranges] == edges[:-1] and edges[-1] == node.meta["shape"][-1]


def _taken(product: fx.Node) -> set[tuple[int, int]]:
    """The ranges of the last dim that are read by something that does more than move entries."""
    shape = product.meta["shape"]
    waiting: list[tuple[fx.Node, object]] = [(product, torch.arange(shape[-1]).expand(shape).contiguous())]
    found: set[tuple[int, int]] = set()
    while waiting:
        node, numbers = waiting.pop()
        moved = [user for user in node.users if _moves(user)]
        if isinstance(numbers, torch.Tensor) and numbers.numel() and len(moved) < max(1, len(node.users)):
            found.add((int(numbers.min()), int(numbers.max()) + 1))
        for user in moved:
            waiting.append((user, user.target(numbers, *user.args[1:], **user.kwargs)))  # type: ignore[operator]
    return found


def _moves(node: fx.Node) -> bool:
    declared = ops.of(op_name(node))
    return isinstance(declared, Moves) and declared.exact and len(node.all_input_nodes) == 1


# -- what they start with ------------------------------------------------------------------------------------------
def _judged(known: Analysis, j: Judged, part: Slice, readout_bound: float) -> Discrepancy | None:
    """The slice as a readout: its init may be of the exponent of an aligned entry, or less."""
    sizes = [_rms(model, j, rows) for model, rows in zip(known.models, (part.narrow, part.wide), strict=True)]
    if not all(sizes):
        return None
    raw = math.log(sizes[1] / sizes[0]) / known.scaling.aligned.sizes.unit
    required = j.phi + (1.0 + readout_bound) * j.use.e_in
    found = round(raw * 4) / 4
    how = known.scaling.trained.get(j.use.tensor)
    own_rate = how is not None and how.law.gradient  # by the size of gradients, which those of a readout's rows exceed
    if found - required < TOLERANCE and not own_rate:
        return None
    op, name = j.use.value.op, j.use.tensor
    return Discrepancy(
        "fused", "hidden", (name,), name, found, required, op.file, op.line, bound=True, module=op.module,
        values=(float(part.narrow[0]), float(part.narrow[1])), detail="lr" if own_rate else "",
    )  # fmt: skip


def _rms(model: nn.Module, j: Judged, rows: tuple[int, int]) -> float:
    """Root mean square of the entries of the weight that make these outputs; 0 where they cannot be told."""
    parameter = dict(model.named_parameters()).get(j.use.tensor)
    summed = _summed(j.use.value)
    if parameter is None or summed is None or parameter.dim() != 2 or max(rows) > parameter.shape[1 - summed]:
        return 0.0
    part = parameter.detach().narrow(1 - summed, rows[0], rows[1] - rows[0])
    return float(part.double().square().mean().sqrt())


def _summed(product: Value) -> int | None:
    """Which dim of the parameter itself is summed over; None where it is more than a moved parameter."""
    weight = product.args[1]
    axis = axis_at(product, weight)
    for x in _back(weight):
        axis = axis_below(x, axis) if x.kind == "view" else axis
        if x.kind not in ("view", "param"):
            return None
    return axis


def _back(x: Value) -> Iterator[Value]:
    while True:
        yield x
        if not x.args:
            return
        x = x.args[0]
