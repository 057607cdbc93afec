"""Queries that start at random, where heads grow with the width (TP5 App. D.2, arXiv 2203.03466)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import fx, nn

from ..findings.discrepancy import Discrepancy
from ..judge.discrepancies import folded
from ..program.outputs import outputs_moved, outputs_of, weight_viewed
from ..program.values import Value
from .analyse import Analysis
from .derive import Scaling


@dataclass(frozen=True)
class Projection:
    """What makes queries, or keys: a parameter, and which of the `count` entries along one of its dims."""

    tensor: str
    dim: int
    rows: tuple[int, ...]
    count: int

    @property
    def whole(self) -> bool:
        return len(self.rows) == self.count

    def of(self, model: nn.Module) -> torch.Tensor | None:
        """These entries in a model; None where it has no such parameter."""
        parameter = dict(model.named_parameters()).get(self.tensor)
        return None if parameter is None else parameter.detach().index_select(self.dim, torch.tensor(self.rows))

    @property
    def range(self) -> tuple[float, ...]:
        """From where to where, as shares of all, and along which dim, where they follow one another and are not all."""
        first, last = self.rows[0], self.rows[-1]
        if self.whole or last - first + 1 != len(self.rows):
            return ()
        return first / self.count, (last + 1) / self.count, float(self.dim)


def random_queries(known: Analysis) -> list[Discrepancy]:
    """The weights that make queries, where neither these nor those of the keys start at zero."""
    return folded(list(_random(known)))


def projections(scaling: Scaling) -> Iterator[tuple[Value, Projection, Projection]]:
    """The logits of every attention whose heads grow, and what makes its queries and its keys."""
    for j in scaling.judged:
        if j.use.kind == "attention" and j.use.e_in > 0:
            made = [_made_by(factor) for factor in j.use.value.args]
            if made[0] is not None and made[1] is not None:
                yield j.use.value, made[0], made[1]


def _random(known: Analysis) -> Iterator[Discrepancy]:
    for logits, query, key in projections(known.scaling):
        if not (is_zero(known, query) or is_zero(known, key)):
            op = logits.op
            yield Discrepancy("zero_query", "hidden", (query.tensor,), query.tensor, 0.0, 0.0, op.file, op.line,
                              module=op.module, values=query.range)  # fmt: skip


def _made_by(factor: Value) -> Projection | None:
    """The parameter whose product a factor of the logits is, moved, turned, normed or multiplied by a constant."""
    at: Value | None = factor
    while at is not None and at.kind in ("view", "scale", "join", "mul", "norm", "power", "act", "lookup"):
        at = next((a for a in at.args if not a.weight and a.kind != "data"), None)
    along = None if at is None else outputs_of(at)
    if at is None or along != len(at.op.shape) - 1:
        return None
    stored = weight_viewed(at.args[1], scaled=True)
    if stored is None:
        return None
    (parameter, dim), count = next(iter(stored.items())), at.op.shape[along]
    before = _ancestors(factor.op.narrow)
    some = [rows for node, rows in outputs_moved(at.op.narrow, along) if node in before and len(rows) < count]
    rows = max(some, key=len) if some else tuple(range(count))
    return Projection(parameter.name, dim, rows, count)


def _ancestors(node: fx.Node) -> set[fx.Node]:
    found, waiting = {node}, [node]
    while waiting:
        for each in waiting.pop().all_input_nodes:
            if each not in found:
                found.add(each)
                waiting.append(each)
    return found


def is_zero(known: Analysis, projection: Projection) -> bool:
    """Whether these entries are all zero at the first probe."""
    entries = projection.of(known.models[0])
    return entries is not None and not bool(entries.any())
