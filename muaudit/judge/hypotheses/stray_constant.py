"""A constant between activations that several parameters would be blamed for: one line is the cause.

The uses of parameters make up for a constant. Where none stands just before it, as behind a nonlinearity, it may take
several, each wrong by the same power. When they are right without the constant, that is what is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ...findings.discrepancy import Discrepancy
from ...findings.power import power
from ...program.values import MOVED, Value, arguments, beyond
from ..cost import CAUSE, LINE
from ..explanation import Edited, Explanation

_MOST = 8  # lines tried


def stray_constants(plain: Explanation) -> Iterator[Edited]:
    """The program without the constants of one line, for lines that no parameter stands before."""
    lines: dict[tuple[str | None, int | None], list[Value]] = {}
    for value in plain.program.values:
        if value.kind == "scale" and value.c and not value.weight and not value.note and not _after_parameters(value):
            lines.setdefault((value.op.file, value.op.line), []).append(value)
    for scales in list(lines.values())[:_MOST]:
        yield Edited((_discrepancy(scales),), CAUSE + 1 + LINE, without=frozenset(scales))


def _after_parameters(scale: Value) -> bool:
    """Whether the constant multiplies what a parameter has just made: it then belongs to that parameter."""
    behind = beyond(scale, arguments, lambda v: v.kind in (*MOVED, "reduce"))
    return any(v.weight or v.kind == "lookup" or _makes(v) for v in behind)


def _makes(v: Value) -> bool:
    """Whether a parameter sets the size of this, as it cannot where a function has a scale of its own."""
    return v.kind not in ("act", "norm", "softmax") and any(a.weight for a in v.args)


def _discrepancy(scales: Sequence[Value]) -> Discrepancy:
    first = scales[0]
    effect = f"what it multiplies {'grows' if first.c > 0 else 'shrinks'} like {power(first.c)}"
    return Discrepancy(
        "join", None, (), "", first.c, 0.0, first.op.file, first.op.line, module=first.op.module,
        consequence=f"{effect}, and no parameter before it makes up for that",
    )  # fmt: skip
