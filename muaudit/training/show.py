"""The verdict in words: offenders first, measured and predicted exponents side by side, and a slope chart."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf
from os.path import relpath

from ..report.layout import BOLD, DIM, ERROR, GOOD, WARNING, Line, columns, line
from .data import Measurement
from .judge import Judged, Status, Verdict

SHOWN = 10
_STYLE: dict[Status, str] = {"pass": GOOD, "fail": ERROR, "undecided": WARNING}
_WORDS: dict[Status, str] = {
    "pass": "stable in width",
    "fail": "not stable in width",
    "undecided": "undecided: add widths or seeds",
}


def check_lines(run: Measurement, verdict: Verdict) -> Iterator[Line]:
    """The report for people."""
    yield line((run.describe, BOLD), hang=2)
    yield line(
        f"widths {', '.join(map(str, run.widths))}, {run.steps} steps, {run.seeds} seeds, {run.device} {run.dtype}, "
        f"{run.optimizer}" + (f", lr {run.lr:g}" if run.lr else ""),
        hang=2,
    )
    for notice in run.notices:
        yield line((f"note: {notice}", WARNING), hang=2)
    yield line()
    failed, open_ = verdict.offenders, verdict.undecided
    counts = f"{len(verdict.judged)} activations: {len(failed)} fail, {len(open_)} undecided"
    yield line((f"coordinate check: {_WORDS[verdict.status]}", _STYLE[verdict.status]), f"  ({counts})")
    yield line((f"wider is better: {verdict.wider}", _STYLE[verdict.wider]), f"  ({verdict.wider_detail})", hang=2)
    yield from _table("worst offenders, first where it starts", failed, run.steps)
    yield from _table("undecided", open_, run.steps)
    yield from _disagreements(verdict.disagreements)
    if not failed:
        yield from _chart(verdict, run.steps)


def _table(title: str, judged: list[Judged], steps: int) -> Iterator[Line]:
    if not judged:
        return
    yield line()
    yield line((title, BOLD))
    rows = [["activation", "where", "init", "(predicted)", "change", "(predicted)", "why"]]
    for each in judged[:SHOWN]:
        a = each.activation
        where = f"{relpath(a.file)}:{a.line}" if a.file else "-"
        change = _change(each), _exponent(a.predicted_update)
        rows.append([a.name, where, _at(each, 0), _exponent(a.predicted_init), *change, _why(each)])
    yield from columns(rows, indent=2)
    if len(judged) > SHOWN:
        yield line((f"and {len(judged) - SHOWN} more; --format json has them all", DIM), indent=2)


def _disagreements(judged: list[Judged]) -> Iterator[Line]:
    if not judged:
        return
    yield line()
    yield line(("prediction and measurement disagree: one of them is wrong", WARNING))
    for each in judged[:SHOWN]:
        yield line(f"{each.activation.name}: {each.disagreement}", indent=2, hang=2)
    if len(judged) > SHOWN:
        yield line((f"and {len(judged) - SHOWN} more", DIM), indent=2)


def _chart(verdict: Verdict, steps: int) -> Iterator[Line]:
    """One row an activation: where its last slope lies between −1 and +1."""
    named = [(each, each.slopes[-1]) for each in verdict.judged if each.slopes]
    if not named:
        return
    yield line()
    yield line((f"slope of the change after {steps} steps, from −1 to +1", BOLD))
    wide = max(len(each.activation.name) for each, _ in named[:40])
    for each, slope in named[:40]:
        place = min(20, max(0, round((slope.fit.slope + 1) * 10)))
        bar = "".join("●" if at == place else "│" if at == 10 else "·" for at in range(21))
        scaled = f"  (then × width^{each.activation.multiplier:+g})" if each.activation.multiplier < 0 else ""
        yield line(f"{each.activation.name:{wide}}  {bar}  {slope.fit.slope:+.2f}{scaled}", indent=2)
    if len(named) > 40:
        yield line((f"and {len(named) - 40} more", DIM), indent=2)


def _why(each: Judged) -> str:
    if each.non_finite:
        return each.non_finite
    worst = each.worst
    if worst is None:
        return ""
    what = f"change at step {worst.step}" if worst.step else "value at init"
    low = f"{worst.low:+.2f}" if worst.low > -inf else "−∞"
    shown = f"{worst.fit.slope:+.2f} [{worst.fit.low:+.2f}, {worst.fit.high:+.2f}]"
    return f"{what}: slope {shown}, allowed {low} to {worst.high:+.2f}"


def _at(each: Judged, step: int) -> str:
    return next((f"{slope.fit.slope:+.2f}" for slope in each.slopes if slope.step == step), "-")


def _change(each: Judged) -> str:
    """The change's slope at the first step that has one: the linear response that the audit predicts."""
    return next((f"{slope.fit.slope:+.2f}" for slope in each.slopes if slope.step > 0), "-")


def _exponent(number: float | None) -> str:
    return "-" if number is None else "−∞" if number == -inf else f"{number:+.2f}"
