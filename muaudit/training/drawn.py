"""What a coordinate check's picture shows: which steps, which lines, which of them by name. Free of matplotlib."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .measurement import Array, Measurement
from .verdict import CheckVerdict, JudgedActivation, Status

LABELLED = 7
KINDS: dict[str, dict[str, str]] = {
    "width": {"hidden": "hidden", "output": "output", "logits": "attention logits"},
    "depth": {"stream": "the stream", "added": "what blocks add to it", "inside": "inside of blocks"},
}
PANELS = 8
_LONGEST = 36


def in_words(status: Status, axis: str) -> str:
    """`stable in width`: the verdict on a run along an axis."""
    words: dict[Status, str] = {
        "pass": f"stable in {axis}", "fail": f"not stable in {axis}", "undecided": f"undecided: add {axis}s or seeds"
    }  # fmt: skip
    return words[status]


def shown_steps(steps: int) -> list[int]:
    """One panel a step while there is room; else the first, the last, and some between at equal ratios."""
    if steps < PANELS:
        return list(range(steps + 1))
    return [0, *sorted({round(steps ** (place / (PANELS - 2))) for place in range(PANELS - 1)})]


def sizes_of(judged: JudgedActivation, step: int) -> Array:
    """The value at initialization, later the change since: [width], the geometric mean over seeds."""
    return _typical(judged.activation.values["change_l2" if step else "l2"][:, :, step])


def design_at(judged: JudgedActivation, step: int) -> float:
    """The exponent that constants give what is shown at this step; 0 where the line is nearer to flat without it."""
    carried = judged.activation.by_design
    slope = next((each.fit.slope for each in judged.slopes if each.step == step), None)
    if slope is None or judged.status == "fail" or abs(slope - carried) >= abs(slope):
        return 0.0
    return carried


def flat_sizes_of(run: Measurement, judged: JudgedActivation, step: int) -> Array:
    """As `sizes_of`, with what moves by design divided out, so that right is flat: [width]."""
    widths = np.array(run.widths, dtype=np.float64)
    divided: Array = sizes_of(judged, step) * (widths / widths[0]) ** -design_at(judged, step)
    return divided


def limits(rows: Sequence[tuple[Measurement, CheckVerdict]]) -> tuple[float, float]:
    """The y-axis of all panels: everything that is drawn, with a little room."""
    found = [
        flat_sizes_of(run, judged, step)
        for run, verdict in rows
        for judged in verdict.judged
        for step in shown_steps(run.steps)
        if step <= run.steps
    ]
    seen = np.concatenate([sizes[np.isfinite(sizes)] for sizes in found]) if found else np.array([])
    if not len(seen):
        return 0.1, 10.0
    low, high = float(np.log10(seen.min())), float(np.log10(seen.max()))
    room = max(0.05 * (high - low), 0.1)
    return float(10 ** (low - room)), float(10 ** (high + room))


def named(verdict: CheckVerdict) -> list[JudgedActivation]:
    """What gets a name: the offenders, else the steepest lines."""
    lines = distinct(verdict.judged)
    if verdict.offenders:
        return [judged for judged in verdict.offenders if judged in lines][:LABELLED]
    sloped = [judged for judged in lines if judged.slopes]
    return sorted(sloped, key=lambda judged: -max(abs(slope.fit.slope) for slope in judged.slopes))[:LABELLED]


def distinct(judged: Sequence[JudgedActivation]) -> list[JudgedActivation]:
    """One line for values that are the same: a block returns what its last layer does, or a constant times it."""
    found: list[JudgedActivation] = []
    for each in judged:
        twin = next((other for other in found if _same(other, each)), None)
        if twin is not None and each.activation.module == "":
            found[found.index(twin)] = each  # what the model returns, rather than what a constant is still to multiply
        elif twin is None:
            found.append(each)
    return found


def entry(judged: JudgedActivation) -> str:
    """`name: init +1.00, change +1.81`, the slopes of the value and of its change after the last step."""
    name = judged.activation.name
    name = name if len(name) <= _LONGEST else "…" + name[1 - _LONGEST :]
    first = next((f"{slope.fit.slope:+.2f}" for slope in judged.slopes if slope.step == 0), "–")
    last = judged.slopes[-1] if judged.slopes else None
    change = f"{last.fit.slope:+.2f}" if last is not None and last.step else "–"
    slopes = f"init {first}, change {change}{by_design(judged)}".replace("-", "−")
    return f"{name}: {slopes}" + (f", {judged.non_finite}" if judged.non_finite else "")


def by_design(judged: JudgedActivation) -> str:
    """` (-1 by design)` where a constant of the readout, or of an embedding, is in the value or still to follow."""
    carried = judged.activation.by_design
    slope = judged.slopes[-1].fit.slope if judged.slopes else 0.0
    nearer = carried != 0.0 and abs(slope - carried) < abs(slope)
    return f" ({carried:+g} by design)" if nearer and judged.status != "fail" else ""


def _same(a: JudgedActivation, b: JudgedActivation) -> bool:
    """Whether two activations differ by nothing, or outputs by no more than a constant for each width."""
    x, y = a.activation.values["l2"], b.activation.values["l2"]
    if np.array_equal(x, y, equal_nan=True):
        return True
    if a.activation.kind != "output" or b.activation.module or not np.isfinite(x).any():
        return False
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = (x / y).reshape(len(x), -1)
    return bool(np.nanmax(np.nanmax(ratio, 1) / np.nanmin(ratio, 1)) < 1.001) if np.isfinite(ratio).all() else False


def _typical(sizes: Array) -> Array:
    """The geometric mean over seeds; NaN where nothing positive was measured."""
    usable = np.isfinite(sizes) & (sizes > 0)
    logs = np.where(usable, np.log(np.where(usable, sizes, 1.0)), 0.0)
    counts = usable.sum(axis=1)
    found: Array = np.where(counts > 0, np.exp(logs.sum(axis=1) / np.maximum(counts, 1)), np.nan)
    return found
