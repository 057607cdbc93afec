"""At which width the factors of the model and of the optimizer are 1."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from torch import fx

from ..capture.align import op_name
from .derive import Scaling
from .optimizers import Trained
from .result import Discrepancy
from .values import Value

_EXACT = 1e-3
_SCALINGS = ("mul", "div")
_VIEWS = (
    "view",
    "_unsafe_view",
    "t",
    "transpose",
    "permute",
    "reshape",
    "slice",
    "select",
    "add",
    "expand",
    "unsqueeze",
)


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
    node = readout.op.narrow
    narrow, wide = 1.0, 1.0
    for each in (*_before(node), *_after(node)):
        op = scaling.aligned.by_node[each]
        constant = _constant(each)
        other = _constant(op.wide) if op.wide is not None else None
        if constant is not None and other is not None:
            narrow, wide = narrow * constant, wide * other
    exponent = math.log(wide / narrow) / scaling.aligned.sizes.unit
    return _whole(width * narrow) if abs(exponent + 1) < _EXACT else None


def _before(node: fx.Node) -> Iterator[fx.Node]:
    """Scalings and views of the activation that a product reads."""
    for arg in node.all_input_nodes:
        while _passes(arg):
            yield arg
            arg = arg.all_input_nodes[0]


def _after(node: fx.Node) -> Iterator[fx.Node]:
    """Scalings and views of what it returns, as far as there is one reader."""
    while len(node.users) >= 1:
        node = next(iter(node.users))
        if not _passes(node):
            return
        yield node


def _passes(node: fx.Node) -> bool:
    name = op_name(node).removeprefix("aten.").rstrip("_")
    return name in _SCALINGS + _VIEWS and len(node.all_input_nodes) == 1


def _constant(node: fx.Node) -> float | None:
    """What a scaling multiplies by, where the code has it as a number."""
    name = op_name(node).removeprefix("aten.").rstrip("_")
    numbers = [a for a in node.args if isinstance(a, (int, float)) and not isinstance(a, bool)]
    if name not in _SCALINGS or len(numbers) != 1 or not numbers[0]:
        return None
    return 1 / abs(numbers[0]) if name == "div" else abs(float(numbers[0]))


def _whole(number: float) -> int | None:
    near = round(number)
    return near if near > 0 and math.isclose(number, near, rel_tol=_EXACT) else None
