"""The verdict in words: the optimum at every width, its drift, and the losses it comes from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ..findings.power import number
from ..report.layout import BOLD, DIM, ERROR, GOOD, WARNING, Line, columns, line, next_line
from ..thresholds import FEWEST_SEEDS
from ..training.coord_check_lines import at_sizes
from .along import wider_along
from .gap import CONVERTED, gap, gap_words, schedule_words
from .over import OVER
from .ranges import shown
from .result import SweepResult
from .sweep_verdict import Status, SweepVerdict, at
from .sweep_words import cost_words, drift_words, larger, title

_STYLE: dict[Status, str] = {"pass": GOOD, "fail": ERROR, "undecided": WARNING}
_YES: dict[Status, str] = {"pass": "yes", "fail": "no", "undecided": "unknown"}


def sweep_lines(measured: SweepResult, verdicts: Sequence[SweepVerdict], room: int | None = None) -> Iterator[Line]:
    """The report for people. room: the terminal's width."""
    yield line((described(measured, verdicts), BOLD), hang=2)
    yield line(measured.setup, hang=2)
    for notice in measured.notices:
        yield line((f"note: {notice}", WARNING), hang=2)
    for verdict in verdicts:
        yield line()
        yield from _verdict(measured, verdict, room)
    if compared := schedule_words(verdicts, measured.titles):
        yield line()
        yield from (line(text, hang=2) for text in compared)
    found = gap(verdicts)
    if found is not None or measured.base_init:
        yield line()
        yield from (line(text, hang=2) for text in (gap_words(found) if found is not None else []))
        if measured.base_init:
            cause = "likely cause: " if found is not None and found.more.low > 0 else ""
            yield line(f"{cause}{measured.base_init}", hang=2)
    yield line()
    yield line((f"results: {measured.results} · the same command goes on where it was stopped", DIM), hang=2)
    if steps := list(next_steps(measured, verdicts)):
        yield next_line(*steps)


def described(measured: SweepResult, verdicts: Sequence[SweepVerdict]) -> str:
    """What was swept, with the sizes that were trained at."""
    widths = verdicts[0].curves.widths if verdicts else ()
    return at_sizes(measured.describe, measured.width_name, widths) if widths else measured.describe


def next_steps(measured: SweepResult, verdicts: Sequence[SweepVerdict]) -> Iterator[str]:
    """What carries a learning rate that stays, what mends one that does not, and what decides what is open."""
    told = next((each for each in verdicts if each.curves.variant == measured.main), None)
    if measured.interrupted or told is None:
        yield "the same command runs what is missing"
    elif told.status == "pass":
        yield from _carried(told)
    elif told.status == "undecided":
        yield _decides(told)
    elif told.curves.variant.startswith(CONVERTED):
        yield "muaudit coord-check --plan FILE shows whether activations keep their size"
        yield "a wider base width, or more --steps, leaves less that is not in the limit yet"
    elif told.curves.along in ("width", "depth"):
        axis = "" if told.curves.along == "width" else " --axis depth"
        yield f"muaudit check{axis} names the lines behind it"
        if not any(each.curves.variant.startswith(CONVERTED) for each in verdicts):
            yield "muaudit convert writes a plan that leaves the code alone, and --plan FILE sweeps with it"
    else:
        yield f"muaudit transfer --recipe NAME has what publications change with the {told.curves.along}"


def _carried(told: SweepVerdict) -> Iterator[str]:
    curves, best = told.curves, told.optima[0]
    if curves.along in ("width", "depth") and best is not None:
        sizes = f"--from {curves.widths[0]} --to N"
        if curves.along == "depth":
            sizes = f"--from depth={curves.widths[0]} --to depth=L"
        value = f" --set lr={at(curves, best):.3g}" if curves.knob == "lr" else ""
        yield f"muaudit transfer {sizes}{value} has every setting at another {curves.along}"
    if told.wider != "pass":
        yield f"more --seeds or --steps show whether {larger(curves)} is better"


def _decides(told: SweepVerdict) -> str:
    """What is missing first."""
    if told.more:
        return f"--until-decided runs {told.more} more seed{'s' * (told.more > 1)}"
    edges = {each.edge for each in told.optima if each is not None and each.edge}
    if edges:
        low, high = min(told.curves.values), max(told.curves.values)
        ends = (low / 8 if "low" in edges else low), (high * 8 if "high" in edges else high)
        flag = "--lr " if told.curves.knob == "lr" else f"--hp {told.curves.knob}="
        return f"{flag}{shown(ends[0])}..{shown(ends[1])} goes on where the optimum seems to lie"
    if told.more is None:
        return f"{OVER[told.curves.along].plural} further apart, or more --steps, show a larger cost"
    if 0 < told.seeds < FEWEST_SEEDS:
        return f"--seeds {FEWEST_SEEDS} gives intervals"
    return "what is said above, then the same command"


def _verdict(measured: SweepResult, verdict: SweepVerdict, room: int | None) -> Iterator[Line]:
    curves = verdict.curves
    fixed = "" if curves.at is None else f"  (at lr {shown(curves.at)}, the best of {curves.along} {curves.widths[0]})"
    yield line((title(measured.titles, verdict, measured.seconds_of_seed(verdict)), _STYLE[verdict.status]), fixed)
    for reason in (*verdict.reasons, *verdict.remarks):
        yield line(reason, indent=2, hang=2)
    yield from columns(
        [[curves.along, f"best {curves.knob}", "log2", "loss", *_value_heads(verdict)], *_rows(verdict)],
        indent=2,
        room=room,
        optional=_worst_first(verdict),
    )
    yield line(drift_words(verdict), indent=2, hang=2)
    yield line(cost_words(verdict), indent=2, hang=2)
    yield line(
        f"{larger(curves)} is better: ",
        (_YES[verdict.wider], _STYLE[verdict.wider]),
        f" ({verdict.wider_detail})",
        indent=2,
        hang=2,
    )
    yield from _along_line(measured, verdict)


def _along_line(measured: SweepResult, verdict: SweepVerdict) -> Iterator[Line]:
    found = next((each for each in measured.along if each.variant == verdict.curves.variant), None)
    if found is not None and verdict.curves.knob == "lr" and verdict.seeds >= FEWEST_SEEDS:
        yield line(f"along the run: {wider_along(found)}", indent=2, hang=2)


def _worst_first(verdict: SweepVerdict) -> list[int]:
    """The columns of losses that a narrow terminal goes without: those farthest above the best."""
    means = np.where(np.isnan(verdict.curves.means()), np.inf, verdict.curves.means())
    return [4 + int(place) for place in np.argsort(-means.min(axis=0), kind="stable")]


def _value_heads(verdict: SweepVerdict) -> list[str]:
    return [shown(value) for value in verdict.curves.values]


def _rows(verdict: SweepVerdict) -> Iterator[list[str]]:
    """One row a width: the optimum, then every loss, the best one marked."""
    curves = verdict.curves
    means, diverged = curves.means(), curves.diverged()
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
            _loss(value, int(diverged[place, at_])) + ("*" if optimum and optimum.index == at_ else "")
            for at_, value in enumerate(means[place])
        ]
        yield [str(width), *best, *cells]


def _loss(value: float, diverged: int) -> str:
    """A mean in which some runs diverged says how many."""
    if np.isnan(value) or np.isinf(value):
        return "" if np.isnan(value) else "diverged"
    return f"{value:.4g}" + (f" ({diverged} diverged)" if diverged else "")
