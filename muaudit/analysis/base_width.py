"""At which width the factors of the model and of the optimizer are 1."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from torch import fx

from .. import ops
from ..findings.discrepancy import Discrepancy
from ..ops.moves import Moves
from ..ops.products import Multiplies
from ..ops.sums import Adds
from ..optimizers.trained import Trained
from ..program.values import Value
from ..thresholds import BASE_WIDTH_EXACT
from ..trace.align import op_name
from .derive import Scaling

Values = Mapping[fx.Node, Any]  # what every recorded operation makes: a value, or several


def base_widths(scaling: Scaling, width: int) -> list[Discrepancy]:
    """At most one discrepancy: the readouts' multipliers are 1 at another width than where learning rates are equal.

    width: the first probe. Only whole numbers count as base widths: a constant that leads to none was chosen freely.
    """
    optimizer = _of_optimizer(scaling.trained, width)
    if optimizer is None:
        return []
    for judged in scaling.judged:
        if judged.use.role != "output" or judged.use.kind != "tensor":
            continue
        model = _of_multiplier(judged.use.value, scaling, width)
        if model is not None and model != optimizer:
            op = judged.use.value.op
            name = judged.use.tensor
            return [Discrepancy("base_width", "output", (name,), name, 0.0, 0.0, op.file, op.line,
                                values=(float(model), float(optimizer)))]  # fmt: skip
    return []


def _of_optimizer(trained: Mapping[str, Trained], width: int) -> int | None:
    """Where learning rates ∝ 1/n equal those that do not depend on width; None unless each kind has one value."""
    rates: dict[float, set[float]] = {}
    for how in trained.values():
        if how.lr_exponent is not None and how.lr:
            rates.setdefault(how.lr_exponent, set()).add(round(how.lr, 12))
    if set(rates) != {0.0, -1.0} or any(len(each) > 1 for each in rates.values()):
        return None
    ((flat,), (falling,)) = rates[0.0], rates[-1.0]
    return _whole(width * falling / flat)


def _of_multiplier(readout: Value, scaling: Scaling, width: int) -> int | None:
    """Where the constants before and after this readout multiply to 1; None unless together they are ∝ 1/n."""
    node, of = readout.op.narrow, scaling.program.of
    narrow, exponent = 1.0, 0.0
    for each in (*_before(node, of), *_after(node, of)):
        value = of.get(each)
        if _scales(each) and isinstance(value, Value) and value.kind == "scale":
            narrow, exponent = narrow * value.factor, exponent + value.c
    return _whole(width * narrow) if abs(exponent + 1) < BASE_WIDTH_EXACT else None


def _before(node: fx.Node, of: Values) -> Iterator[fx.Node]:
    """Scalings and views of the activation that a product reads."""
    for arg in node.all_input_nodes:
        current: fx.Node | None = arg
        while current is not None and (source := _scaled(current, of)) is not None:
            yield current
            current = source


def _after(node: fx.Node, of: Values) -> Iterator[fx.Node]:
    """Scalings and views of what it returns, as far as there is one reader."""
    while len(node.users) >= 1:
        node = next(iter(node.users))
        if _scaled(node, of) is None:
            return
        yield node


def _scaled(node: fx.Node, of: Values) -> fx.Node | None:
    """What a scaling or a view reads, besides the constant; None where the node is something else."""
    inputs = list(node.all_input_nodes)
    if len(inputs) == 2 and _scales(node):
        inputs = [each for each in inputs if getattr(of.get(each), "kind", "") != "data"]
    passes = _scales(node) or isinstance(ops.of(op_name(node)), (Moves, Adds))  # a number that is added is no tensor
    return inputs[0] if len(inputs) == 1 and passes else None


def _scales(node: fx.Node) -> bool:
    return isinstance(ops.of(op_name(node)), Multiplies)


def _whole(number: float) -> int | None:
    near = round(number)
    return near if near > 0 and math.isclose(number, near, rel_tol=BASE_WIDTH_EXACT) else None
