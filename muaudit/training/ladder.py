"""From the model as it is to µP, one ingredient at a time, and what each buys in a coordinate check.

The rungs are parts of one plan, by TP5's Table 3 (arXiv 2203.03466): the initialization, then the learning rates with
weight decay and eps, then the readout, then what multiplies in the forward pass, which is attention's 1/d_head.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from ..convert.planner import make_plan
from ..isolation.child import tell
from ..isolation.plain_data import plain
from ..plan.plan import Plan
from ..plan.planned import planned
from ..plan.scales import Entry
from ..report.layout import BOLD, ERROR, GOOD, WARNING, Line, columns, line, next_line
from ..targets import TargetOptions, resolve
from ..targets.probe import Target
from .coord_check_lines import at_sizes, count
from .measure import Progress, measure
from .measurement import Measurement
from .run_settings import RunSettings
from .verdict import CheckVerdict, judge

SCHEMA = "muaudit.ladder/1"


@dataclass(frozen=True)
class Rung:
    """One stage: what was switched on, all before it too, and the measurement."""

    title: str
    run: Measurement

    @property
    def verdict(self) -> CheckVerdict:
        """Of the coordinate check."""
        return judge(self.run)


def climbed(text: str | None, options: TargetOptions, base_width: int | None, settings: RunSettings) -> dict[str, Any]:
    """Every rung of a target, meant for a child: `lines` to show, `data`, and the exit `code`. Raises UserError."""
    rungs = climb(resolve(text, options), base_width, settings, tell)
    lines = [plain(each) for each in ladder_lines(rungs)]
    return {"lines": lines, "data": ladder_data(rungs), "code": rungs[-1].verdict.exit_code}


def climb(
    target: Target, base_width: int | None, settings: RunSettings,
    progress: Progress = lambda done, total, width: None,
) -> list[Rung]:  # fmt: skip
    """The coordinate check of the target as it is and of every rung, on the same seeds and data.

    base_width: where every rung is the model as it is; the first width by default. progress: as for `measure`.

    Raises:
        UserError: the target cannot be planned for, or cannot be trained.
    """
    base = base_width or (settings.widths[0] if settings.widths else target.axes[0].probes[0])
    plan = make_plan(target, base, base, seed=settings.seed, formulation="table3")
    stages: list[tuple[str, Plan | None]] = [("as it is", None), *_parts(plan)]
    found: list[Rung] = []
    for number, (title, part) in enumerate(stages):
        turned = target if part is None else planned(target, part)

        def told(done: int, total: int, width: int, number: int = number) -> None:
            progress(number * total + done, len(stages) * total, width)

        found.append(Rung(title, measure(turned, settings, told)))
    return found


def _parts(plan: Plan) -> Iterator[tuple[str, Plan]]:
    """What of the plan is switched on, stage by stage; stages that change nothing are left out."""

    def readout(entry: Entry) -> bool:
        return "output" in entry.roles

    def with_(init: bool, rates: bool, readouts: bool, hooks: bool) -> Plan:
        entries = tuple(
            replace(
                entry,
                init=entry.init if (readouts if readout(entry) else init) else 0.0,
                lr=entry.lr if (readouts if readout(entry) else rates) else 0.0,
                weight_decay=entry.weight_decay if (readouts if readout(entry) else rates) else 0.0,
                eps=entry.eps if (readouts if readout(entry) else rates) else 0.0,
            )
            for entry in plan.entries
        )
        return replace(plan, entries=entries, hooks=plan.hooks if hooks else ())

    stages = (
        ("+ initialization", with_(True, False, False, False)), ("+ learning rates", with_(True, True, False, False)),
        ("+ readout", with_(True, True, True, False)), ("+ forward multipliers", with_(True, True, True, True)),
    )  # fmt: skip
    before = with_(False, False, False, False)
    for title, part in stages:
        if (part.entries, part.hooks) != (before.entries, before.hooks):
            yield title, part
        before = part


def ladder_lines(rungs: list[Rung]) -> Iterator[Line]:
    """The table: a row a rung."""
    run = rungs[0].run
    yield line((at_sizes(run.describe, run.width_name, run.widths), BOLD), hang=2)
    sizes = ", ".join(map(str, run.widths))
    yield line(f"widths {sizes}, {count(run.steps, 'step')}, {count(run.seeds, 'seed')}, {run.optimizer}", hang=2)
    yield line()
    rows: list[list[Any]] = [["switched on", "fail", "worst", "slope", "allowed", f"loss at {run.widths[-1]}"]]
    for rung in rungs:
        verdict = rung.verdict
        failed = len(verdict.offenders)
        style = ERROR if failed else WARNING if verdict.undecided else GOOD
        rows.append([rung.title, (f"{failed} of {len(verdict.judged)}", style), *_worst(verdict), _loss(rung.run)])
    yield from columns(rows, indent=2, hang=4)
    yield line()
    if rungs[-1].verdict.offenders:
        yield next_line("muaudit coord-check --plan FILE, with the plan of muaudit convert, says what is left")
    else:
        yield next_line("muaudit convert writes the last row as a plan")


def _worst(verdict: CheckVerdict) -> list[str]:
    found = max(verdict.judged, key=lambda each: each.excess, default=None)
    if found is None or not found.excess or found.worst is None:
        return ["-", "", ""]
    worst = found.worst
    what = "at initialization" if worst.step == 0 else f"change at step {worst.step}"
    allowed = f"≤ {worst.high:+.2f}" if worst.low == -math.inf else f"{worst.low:+.2f} to {worst.high:+.2f}"
    slope = "not finite" if found.non_finite else f"n^{worst.fit.slope:+.2f}, {what}"
    return [found.activation.name, slope, allowed]


def _loss(run: Measurement) -> str:
    ends = run.loss[-1, :, -1]
    value = float(ends.mean())
    return f"{value:.3g}" if math.isfinite(value) else "not finite"


def ladder_data(rungs: list[Rung]) -> dict[str, Any]:
    """`muaudit.ladder/1`."""
    run = rungs[0].run
    return {
        "schema": SCHEMA, "target": run.describe, "widths": list(run.widths), "steps": run.steps, "seeds": run.seeds,
        "rungs": [
            {"switched_on": each.title, "failed": [j.activation.name for j in each.verdict.offenders],
             "undecided": [j.activation.name for j in each.verdict.undecided], "status": each.verdict.status,
             "loss": _loss(each.run)}
            for each in rungs
        ],
    }  # fmt: skip
