"""Parameters that the forward pass reads without training them: constants in all but name."""

from __future__ import annotations

from collections.abc import Iterator

from torch import fx

from ..findings.discrepancy import Discrepancy
from ..judge.findings import folded
from ..judge.together import united
from .derive import Scaling


def without_gradient(scaling: Scaling) -> list[Discrepancy]:
    """Trainable parameters that are read, that have no role, and that the real backward left without a gradient."""
    sizes = (scaling.aligned.narrow.grad_rms, scaling.aligned.wide.grad_rms)
    if not all(sizes):
        return []
    found = []
    for name, node in _read_without_role(scaling):
        if node.meta["frozen"] or any(name in gradients for gradients in sizes):
            continue
        reader = next(iter(node.users))
        where = reader.meta.get("file"), reader.meta.get("line")
        found.append(Discrepancy("no_gradient", None, (name,), name, 0.0, 0.0, *where, module=reader.meta["module"]))
    return united(folded(found), ())


def without_group(scaling: Scaling) -> list[Discrepancy]:
    """Parameters with a gradient in no param group, where the optimizer holds others: nothing ever updates them."""
    found: dict[str, dict[str, Discrepancy]] = {}
    for j in scaling.judged:
        name, op = j.use.tensor, j.use.value.op
        node = scaling.aligned.narrow.params.get(name) if scaling.trained else None
        if node is None or node.meta["frozen"] or name in scaling.trained:
            continue
        if name in scaling.aligned.narrow.grad_rms:
            d = Discrepancy("no_group", j.use.role, (name,), name, 0.0, 0.0, op.file, op.line, module=op.module)
            if not any(name in of_role for of_role in found.values()):
                found.setdefault(j.use.role or "", {})[name] = d
    return [d for of_role in found.values() for d in united(folded(list(of_role.values())), scaling.judged)]


def frozen_constants(scaling: Scaling) -> set[str]:
    """Names of frozen parameters that are read, but not as weights: tables of positions, for example."""
    return {name for name, node in _read_without_role(scaling) if node.meta["frozen"]}


def _read_without_role(scaling: Scaling) -> Iterator[tuple[str, fx.Node]]:
    judged = {j.use.tensor for j in scaling.judged}
    for node in dict.fromkeys(scaling.aligned.narrow.params.values()):
        name = node.meta["param"]
        if name not in judged and name not in scaling.ideal.unjudged and node.users:
            yield name, node
