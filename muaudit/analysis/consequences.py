"""What a mistake does to this very model, as the prediction of its coordinate check has it.

A finding says by how much an exponent is off; what follows depends on everything else in the model. So it is read off
the predicted sizes (`solve.predict`), where the tensor is used, else at the outputs: of the change with a small
learning rate and that with a usual one, the smaller.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from ..findings.discrepancy import Discrepancy
from ..findings.power import power
from ..judge.edits import Judged
from ..program.kinds.meaning import Size
from ..program.lower import Program
from ..program.values import Value
from ..solve.predict import Prediction
from ..thresholds import TOLERANCE

_WORDS = {"output": "outputs", "bias": "biases", "gain": "gains"}
_OF_TENSORS = ("init", "lr", "multiplier")


def with_consequences(
    found: Iterable[Discrepancy], judged: Sequence[Judged], program: Program, prediction: Prediction
) -> list[Discrepancy]:
    """`found`, each about an init, a learning rate or a multiplier with what it does to this model."""
    uses = {(j.use.tensor, j.use.role): j for j in reversed(judged)}
    outputs = _outputs(program, prediction)
    out: list[Discrepancy] = []
    for d in found:
        j = uses.get((d.tensors[0], d.role)) if d.tensors and d.role and d.aspect in _OF_TENSORS else None
        at = prediction.sizes.get(j.use.value) if j is not None else None
        out.append(d if j is None or at is None else replace(d, consequence=_consequence(d, j, at, outputs)))
    return out


def _outputs(program: Program, prediction: Prediction) -> Size | None:
    """The output that grows most: at initialization and in a step."""
    nodes = program.aligned.narrow.boundary
    values = [v for node in nodes if isinstance(v := program.value_of(node), Value) and v.size == 0]
    sizes = [prediction.sizes[v] for v in values if v in prediction.sizes]
    return max(sizes, key=lambda size: max(size.init, _change(size))) if sizes else None


def _consequence(d: Discrepancy, j: Judged, at: Size, outputs: Size | None) -> str:
    what = _WORDS.get(d.role or "", "activations")
    if d.aspect == "init":
        return _of_start(what, d.found - d.expected, at, outputs)
    off = j.lr_off if j.lr_off else j.init_off
    if off < 0:  # of what it contributes by itself; others may hide it in what is measured
        return f"its updates shrink like {power(off)}: it stops learning as width grows ({power(-off)} too slow)"
    return _of_steps(what, at, outputs) or f"the change of {what} per step is {power(off)} too large"


def _of_start(what: str, off: float, at: Size, outputs: Size | None) -> str:
    if off < 0 and at.init < -TOLERANCE:
        return f"{what} shrink like {power(at.init)} at initialization"
    if off < 0:
        return f"{what} start {power(-off)} smaller than they should"
    if at.init > TOLERANCE:
        return f"{what} grow like {power(at.init)} at initialization"
    return _of_steps(what, at, outputs) or f"{what} start {power(off)} larger than they should"


def _of_steps(what: str, at: Size, outputs: Size | None) -> str:
    """What grows in a step, where the tensor is used or at the outputs; "" where neither does."""
    for words, size in ((what, at), ("outputs", outputs)):
        if size is not None and _change(size) > TOLERANCE:
            grows = f"the change of {words} per step grows like {power(_change(size))}"
            return f"{grows}: a learning rate that is right here is too large in a wider model"
    return ""


def _change(size: Size) -> float:
    return min(size.update, size.capped)
