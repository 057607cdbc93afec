"""The spectral coordinate check for people, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from ..findings.power import power
from ..report.layout import BOLD, ERROR, GOOD, WARNING, Line, columns, line, next_line
from .coord_check_lines import at_sizes
from .measurement import Array
from .spectral import JudgedNorm, JudgedTensor, SpectralRun, Status

SCHEMA = "muaudit.spectral-check/1"
_STYLE: dict[Status, str] = {"pass": GOOD, "fail": ERROR, "undecided": WARNING}
_WORDS: dict[Status, str] = {
    "pass": "norms of weights and of their changes follow sqrt(fan_out/fan_in)",
    "fail": "norms do not follow sqrt(fan_out/fan_in)",
    "undecided": "undecided: add widths or seeds",
}

_NEXT: dict[Status, tuple[str, ...]] = {
    "pass": ("muaudit sweep shows whether the best learning rate stays",),
    "fail": ("muaudit check names the lines behind it", "muaudit convert leaves the code alone"),
    "undecided": ("more --seeds narrow the intervals, wider --widths show where the slopes go",),
}


def status_of(judged: Sequence[JudgedTensor]) -> Status:
    """The worst of all tensors."""
    found = {each.status for each in judged}
    return "fail" if "fail" in found else "undecided" if "undecided" in found else "pass"


def spectral_lines(run: SpectralRun, judged: Sequence[JudgedTensor]) -> Iterator[Line]:
    """The report."""
    yield line((at_sizes(run.describe, run.width_name, run.widths), BOLD), hang=2)
    widths = ", ".join(map(str, run.widths))
    yield line(f"widths {widths}, {run.steps} steps, {run.seeds} seeds, {run.optimizer}", hang=2)
    for notice in run.notices:
        yield line((f"note: {notice}", WARNING), hang=2)
    yield line()
    status = status_of(judged)
    yield line((f"spectral check: {_WORDS[status]}", _STYLE[status]), hang=2)
    yield line()
    rows: list[list[Any]] = [["tensor", "role", "needs", "|W|", "slope", "|ΔW|", "slope", ""]]
    for each in judged:
        norms = each.norms
        rows.append([
            norms.name, norms.role, power(norms.needed), _ends(norms.weight), _slope(each.weight), _ends(norms.change),
            _slope(each.change), (_verdict(each), _STYLE[each.status]),
        ])  # fmt: skip
    yield from columns(rows, indent=2, hang=4)
    if run.left:
        shown = ", ".join(run.left[:5]) + (", ..." if len(run.left) > 5 else "")
        yield line(f"not judged, for they have more roles than one or none of a matrix: {shown}", indent=2, hang=2)
    yield line()
    yield next_line(*_NEXT[status])


def _verdict(each: JudgedTensor) -> str:
    parts = [
        f"{what} {norm.status}s" for what, norm in (("W", each.weight), ("ΔW", each.change)) if norm.status == "fail"
    ]
    return ", ".join(parts) or each.status


def _ends(sizes: Array) -> str:
    return f"{sizes[0].mean():.3g} → {sizes[-1].mean():.3g}"


def _slope(norm: JudgedNorm) -> str:
    return "-" if norm.fit is None else f"{norm.fit.slope:+.2f} ±{norm.fit.half_width:.2f}"


def to_json(run: SpectralRun, judged: Sequence[JudgedTensor]) -> str:
    """Raw norms [width][seed] and verdicts."""

    def norm(found: JudgedNorm) -> dict[str, object]:
        slopes = found.fit and {"slope": found.fit.slope, "low": found.fit.low, "high": found.fit.high}
        return {"status": found.status, "fit": slopes}

    document = {
        "schema": SCHEMA,
        "target": run.describe,
        "width": {"name": run.width_name, "widths": run.widths},
        "steps": run.steps,
        "seeds": run.seeds,
        "optimizer": run.optimizer,
        "status": status_of(judged),
        "notices": run.notices,
        "not_judged": run.left,
        "tensors": [
            {
                "name": each.norms.name, "role": each.norms.role, "shape": each.norms.shape,
                "multiplier_exponent": each.norms.multiplier, "needed_exponent": each.norms.needed,
                "weight_norms": each.norms.weight.tolist(), "change_norms": each.norms.change.tolist(),
                "weight": norm(each.weight), "change": norm(each.change),
            }
            for each in judged
        ],
    }  # fmt: skip
    return json.dumps(document, indent=2)
