"""Parameters that the forward pass reads without training them: constants in all but name."""

from __future__ import annotations

from ..findings.discrepancy import Discrepancy
from ..judge.discrepancies import folded
from ..judge.together import united
from .derive import Scaling


def without_gradient(scaling: Scaling) -> list[Discrepancy]:
    """Trainable parameters that are read, that have no role, and that the real backward left without a gradient."""
    found = []
    for name, node in scaling.aligned.narrow.params.items():
        if name in scaling.accounts and scaling.accounts[name].standing == "no gradient":
            reader = next(iter(node.users))
            where = reader.meta.get("file"), reader.meta.get("line")
            module = reader.meta["module"]
            found.append(Discrepancy("no_gradient", None, (name,), name, 0.0, 0.0, *where, module=module))
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
