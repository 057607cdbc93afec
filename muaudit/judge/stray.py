"""A constant between activations that several parameters would be blamed for: one line is the cause.

Blame looks for parameters that make up for a constant. Where none stands just before it, as behind a nonlinearity, it
may take several, each wrong by the same power. When they are all right without the constant, that is what is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from ..findings.discrepancy import Discrepancy
from ..program.lower import Program
from ..program.values import MOVED, Value, arguments, beyond
from .findings import power

_MOST = 8  # lines tried


def constants_alone(
    program: Program, found: list[Discrepancy], again: Callable[[], list[Discrepancy]]
) -> list[Discrepancy]:
    """`found`, with what one line's constant explains told as that. `again` judges `program` anew."""
    if len({_owner(d) for d in found if _may_be_explained(d)}) < 2:
        return found
    lines: dict[tuple[str | None, int | None], list[Value]] = {}
    for value in program.values:
        if value.kind == "scale" and value.c and not value.weight and not value.note and not _after_parameters(value):
            lines.setdefault((value.op.file, value.op.line), []).append(value)
    for scales in list(lines.values())[:_MOST]:
        without = _without(scales, again)
        gone = [d for d in found if _key(d) not in {_key(other) for other in without}]
        new = [d for d in without if _key(d) not in {_key(other) for other in found}]
        if not new and len({_owner(d) for d in gone}) >= 2 and all(_may_be_explained(d) for d in gone):
            return [*(d for d in found if d not in gone), _discrepancy(scales)]
    return found


def _without(scales: Sequence[Value], again: Callable[[], list[Discrepancy]]) -> list[Discrepancy]:
    constants = [scale.c for scale in scales]
    try:
        for scale in scales:
            scale.c = 0.0
        return again()
    finally:
        for scale, c in zip(scales, constants, strict=True):
            scale.c = c


def _after_parameters(scale: Value) -> bool:
    """Whether the constant multiplies what a parameter has just made: it then belongs to that parameter."""
    behind = beyond(scale, arguments, lambda v: v.kind in (*MOVED, "reduce"))
    return any(v.weight or v.kind == "lookup" or any(a.weight for a in v.args) for v in behind)


def _may_be_explained(d: Discrepancy) -> bool:
    return d.aspect in ("multiplier", "init", "lr", "join", "contraction", "attention")


def _owner(d: Discrepancy) -> str:
    """What the layer of the parameter is called, wherever it stands: blocks have the same mistakes. Else the line."""
    if not d.tensors:
        return f"{d.file}:{d.line}"
    *_, holder, layer = ["", *d.tensors[0].rpartition(".")[0].split(".")]
    return f"{holder}.{layer}" if layer.isdigit() else layer


def _key(d: Discrepancy) -> tuple[object, ...]:
    return (d.aspect, d.role, d.tensors, round(d.found, 3), round(d.expected, 3), d.file, d.line)


def _discrepancy(scales: Sequence[Value]) -> Discrepancy:
    first = scales[0]
    effect = f"what it multiplies {'grows' if first.c > 0 else 'shrinks'} like {power(first.c)}"
    found = Discrepancy("join", None, (), "", first.c, 0.0, first.op.file, first.op.line, module=first.op.module)
    return replace(found, consequence=f"{effect}, and no parameter before it makes up for that")
