"""What a smaller format would lose, for people and as JSON."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..isolation.child import tell
from ..isolation.plain_data import plain
from ..report.layout import BOLD, DIM, ERROR, GOOD, WARNING, Line, columns, line, next_line
from ..targets import TargetOptions
from .coord_check_lines import at_sizes, count
from .coord_check_task import found_target
from .precision import Held, Lost, PrecisionRun, measure_precision
from .run_settings import RunSettings

SCHEMA = "muaudit.precision-check/1"


def held_against(
    text: str | None, options: TargetOptions, precisions: tuple[str, ...], plan: Path | None, settings: RunSettings
) -> dict[str, Any]:
    """The check of a target, meant for a child: `lines` to show, `data`, and the exit `code`. Raises UserError."""
    run = measure_precision(found_target(text, options, plan), settings, precisions, tell)
    return {"lines": [plain(each) for each in precision_lines(run)], "data": precision_data(run),
            "code": int(any(each.fails for each in run.held))}  # fmt: skip


def precision_lines(run: PrecisionRun) -> Iterator[Line]:
    """A table a format: a row a width."""
    yield line((at_sizes(run.describe, run.width_name, run.widths), BOLD), hang=2)
    sizes = ", ".join(map(str, run.widths))
    yield line(f"widths {sizes}, {count(run.steps, 'step')}, {count(run.seeds, 'seed')}, {run.optimizer}", hang=2)
    for notice in run.notices:
        yield line((f"note: {notice}", WARNING), hang=2)
    for width, step in dict.fromkeys(run.diverged):
        yield line((f"note: at width {width} the loss was lost at step {step}", WARNING), hang=2)
    for name in dict.fromkeys(each.precision for each in run.held):
        held = [each for each in run.held if each.precision == name]
        yield line()
        yield line((f"{name}: {_said(held)}", ERROR if any(each.fails for each in held) else GOOD), hang=2)
        yield from columns([_head(held), *map(_row, held)], indent=2, hang=4)
        yield from _places(held)
    yield line()
    yield line(("shares of all entries that are not zero, at the worst step; over: too large, under: rounded to zero",
                DIM), hang=2)  # fmt: skip
    yield next_line(_next(run))


def _next(run: PrecisionRun) -> str:
    """What follows one width for longer: one that fails, else the widest."""
    failing = [each for each in run.held if each.fails]
    at = failing[0] if failing else run.held[-1]
    what = "says what goes first, and what lets it" if failing else f"follows it beyond {count(run.steps, 'step')}"
    return f"muaudit diagnose --width {at.width} --precision {at.precision} {what}"


def _said(held: list[Held]) -> str:
    failing = [each for each in held if each.fails]
    if not failing:
        return "nothing overflows, and no gradient loses most of its entries"
    widths = ", ".join(str(each.width) for each in failing)
    overflow = any(each.lost["activations over"].worst_share > 0 for each in failing)
    return f"{'activations overflow' if overflow else 'a gradient loses most of its entries'} at width {widths}"


def _head(held: list[Held]) -> list[str]:
    scaled = ["loss scale", "not scaled: under"] if any(each.precision == "fp16" for each in held) else []
    return ["width", "activations: over", "under", "gradients: over", "under", *scaled]


def _row(each: Held) -> list[str]:
    lost = each.lost
    scaled = (
        [f"2^{math.log2(each.scale):g}", _percent(lost["unscaled under"].share)] if each.precision == "fp16" else []
    )
    return [str(each.width), _percent(lost["activations over"].share), _percent(lost["activations under"].share),
            _percent(lost["gradients over"].share), _percent(lost["gradients under"].share), *scaled]  # fmt: skip


def _places(held: list[Held]) -> Iterator[Line]:
    """At the widest, where most is lost."""
    widest = held[-1]
    for what, found in widest.lost.items():
        if found.worst_share > 0 and what != "unscaled under":
            yield line((f"{what} at width {widest.width}: most of ", DIM), found.worst,
                       f", {_percent(found.worst_share)} at step {found.step}", indent=2, hang=4)  # fmt: skip


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %" if share else "0"


def precision_data(run: PrecisionRun) -> dict[str, Any]:
    """`muaudit.precision-check/1`."""
    return {
        "schema": SCHEMA, "target": run.describe, "width_name": run.width_name, "widths": list(run.widths),
        "steps": run.steps, "seeds": run.seeds, "optimizer": run.optimizer, "notices": list(run.notices),
        "diverged": [{"width": width, "step": step} for width, step in run.diverged],
        "held": [
            {"width": each.width, "precision": each.precision, "loss_scale": each.scale, "fails": each.fails,
             **{what.replace(" ", "_"): _lost(found) for what, found in each.lost.items()}}
            for each in run.held
        ],
    }  # fmt: skip


def _lost(found: Lost) -> dict[str, Any]:
    return {"share": found.share, "worst": found.worst, "worst_share": found.worst_share, "step": found.step}
