"""The verdict in words: the optimum at every width, its drift, and the losses it comes from."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from ..findings.power import number
from ..report.layout import BOLD, DIM, ERROR, GOOD, WARNING, Line, columns, line
from .ranges import shown
from .result import SweepResult
from .sweep_verdict import Status, SweepVerdict, at

_STYLE: dict[Status, str] = {"pass": GOOD, "fail": ERROR, "undecided": WARNING}
_WORDS: dict[Status, str] = {"pass": "transfers", "fail": "does not transfer", "undecided": "undecided"}
_YES: dict[Status, str] = {"pass": "yes", "fail": "no", "undecided": "unknown"}


def sweep_lines(measured: SweepResult, verdicts: Sequence[SweepVerdict]) -> Iterator[Line]:
    """The report for people."""
    yield line((measured.describe, BOLD), hang=2)
    yield line(measured.setup, hang=2)
    for notice in measured.notices:
        yield line((f"note: {notice}", WARNING), hang=2)
    for verdict in verdicts:
        yield line()
        yield from _verdict(measured, verdict)
    yield line()
    yield line((f"results: {measured.results} · the same command goes on where it was stopped", DIM))


def _verdict(measured: SweepResult, verdict: SweepVerdict) -> Iterator[Line]:
    curves = verdict.curves
    title = f"{measured.titles[curves.variant]}: {curves.knob} {_WORDS[verdict.status]}"
    fixed = "" if curves.at is None else f"  (at lr {shown(curves.at)}, the best of width {curves.widths[0]})"
    yield line((title, _STYLE[verdict.status]), fixed)
    for reason in verdict.reasons:
        yield line(reason, indent=2, hang=2)
    yield from columns(
        [["width", f"best {curves.knob}", "log2", "loss", *_value_heads(verdict)], *_rows(verdict)], indent=2
    )
    yield line(_drift(verdict), indent=2, hang=2)
    yield line(_lost(verdict), indent=2, hang=2)
    yield line(
        "wider is better: ",
        (_YES[verdict.wider], _STYLE[verdict.wider]),
        f" ({verdict.wider_detail})",
        indent=2,
        hang=2,
    )


def _value_heads(verdict: SweepVerdict) -> list[str]:
    return [shown(value) for value in verdict.curves.values]


def _rows(verdict: SweepVerdict) -> Iterator[list[str]]:
    """One row a width: the optimum, then every loss, the best one marked."""
    curves = verdict.curves
    means = curves.means()
    for place, (width, optimum) in enumerate(zip(curves.widths, verdict.optima, strict=True)):
        best = ["-", "-", "-"]
        if optimum is not None:
            sign = {"": "", "low": "≤ ", "high": "≥ "}[optimum.edge]
            best = [
                sign + number(at(curves, optimum)),
                f"{sign}{optimum.place:.2f} ± {optimum.error:.2f}",
                f"{optimum.loss:.4g}",
            ]
        cells = [
            _loss(value) + ("*" if optimum and optimum.index == at_ else "") for at_, value in enumerate(means[place])
        ]
        yield [str(width), *best, *cells]


def _loss(value: float) -> str:
    return "" if np.isnan(value) else "diverged" if np.isinf(value) else f"{value:.4g}"


def _drift(verdict: SweepVerdict) -> str:
    if math.isnan(verdict.drift):
        return "drift over widths: unknown"
    sign = "at least " if verdict.at_least else ""
    return (
        f"drift over widths: {sign}{verdict.drift:.2f} ± {verdict.drift_error:.2f} factors of two "
        f"(×{2**verdict.drift:.3g})"
    )


def _lost(verdict: SweepVerdict) -> str:
    curves = verdict.curves
    what = f"width {curves.widths[-1]} at the best {curves.knob} of width {curves.widths[0]}"
    if verdict.lost is None:
        return f"{what}: unknown"
    return f"{what}: " + ("diverges" if math.isinf(verdict.lost) else f"loses {100 * verdict.lost:.2f} % of loss")
