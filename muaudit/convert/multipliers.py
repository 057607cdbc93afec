"""Where a forward multiplier goes that no gauge can carry: a hook on a module, or a refusal with the source edit."""

from __future__ import annotations

from torch import fx

from ..errors import UserError
from ..report.power import fraction
from ..scaling.derive import Scaling
from ..scaling.names import pattern_of
from ..scaling.values import Value
from .gauge import Gauge, Unmet
from .plan import Hook


def place(scaling: Scaling, gauge: Gauge) -> tuple[tuple[Hook, ...], dict[int, float]]:
    """The hooks, and by use (its id) the exponent of the multiplier now before it.

    Raises:
        UserError: a multiplier has no module that it could be hung on.
    """
    hooks: dict[Hook, None] = {}
    extra: dict[int, float] = {}
    for unmet in gauge.unmet:
        hook = _before_tensor(scaling, unmet) if unmet.use.kind == "tensor" else _on_query(scaling, unmet)
        if hook is None:
            raise _refusal(unmet)
        hooks[hook] = None
        if unmet.use.kind == "tensor":
            extra[id(unmet.use)] = unmet.exponent
    return tuple(hooks), extra


def _before_tensor(scaling: Scaling, unmet: Unmet) -> Hook | None:
    """On the input of the module that uses a shared tensor here and nowhere else: a tied head."""
    op, node = unmet.use.value.op, scaling.aligned.narrow.params[unmet.use.tensor]
    owners = {name.rpartition(".")[0] for name, each in scaling.aligned.narrow.params.items() if each is node}
    if not op.module or op.module not in owners:
        return None
    here = [u for u in scaling.ideal.uses if u.kind == "tensor" and u.value.op.module == op.module]
    if any(u.tensor != unmet.use.tensor and u.value.op is not op and u.role not in ("bias", "scalar") for u in here):
        return None
    return Hook(op.module, "input", unmet.exponent, f"{unmet.use.tensor} is shared: the multiplier cannot go into it")


def _on_query(scaling: Scaling, unmet: Unmet) -> Hook | None:
    """On the output of a module that makes one side of the contraction and not the other: a norm without a gain."""
    outputs = {node: call.module for call in scaling.aligned.narrow.calls for node in call.outputs[:1] if call.module}
    left, right = (_makers(arg, outputs) for arg in unmet.use.value.args[:2])
    for module in [*(left - right), *(right - left)]:
        calls = [call for call in scaling.aligned.narrow.calls if call.module == module]
        if len(calls) == 1:
            return Hook(pattern_of(module), "output", unmet.exponent, "the scale that the attention logits lack")
    return None


def _makers(value: Value, outputs: dict[fx.Node, str]) -> set[str]:
    """The modules whose output reaches a value through views, sums and constants alone."""
    found: set[str] = set()
    stack, seen = [value], set[Value]()
    while stack:
        current = stack.pop()
        if current in seen or current.weight or current.kind == "data":
            continue
        seen.add(current)
        if current.op.narrow in outputs:
            found.add(outputs[current.op.narrow])
        elif current.kind in ("view", "scale", "join"):
            stack.extend(current.args)
    return found


def _refusal(unmet: Unmet) -> UserError:
    op = unmet.use.value.op
    power = f"m ** ({fraction(unmet.exponent)})"
    where = f"{op.file}:{op.line}" if op.file else op.module
    if unmet.use.kind == "tensor":
        message = f"{where}: {unmet.use.tensor} is shared, and its use here needs a multiplier that no tensor can carry"
        return UserError(
            message, f"multiply its input by {power} in the source, m being width / base width; convert again"
        )
    message = f"{where}: this contraction needs a constant that no projection can carry"
    return UserError(
        message, f"multiply one of its sides by {power} in the source, m being width / base width; convert again"
    )
