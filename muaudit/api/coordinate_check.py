"""`muaudit.coord_check`: real training at several widths, measured and judged."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..page.html_document import Section
from ..plan.plan import Plan
from ..report.layout import Line
from ..targets.eager import eagerly
from ..targets.usercode import answered
from ..training.coord_check_lines import check_lines
from ..training.coord_check_page import check_sections
from ..training.document import to_json
from ..training.measure import measure
from ..training.measurement import Measurement
from ..training.over_depths import measure_over_depth
from ..training.picture import check_plot, plot
from ..training.run_settings import RunSettings, check_settings
from ..training.verdict import CheckVerdict, judge
from .given_targets import Given, converted, options_of, target_of
from .shown import Shown


class CoordCheck(Shown):
    """A measurement with its verdict. `ok`: whether every activation is stable in width and wider is better."""

    def __init__(self, measurement: Measurement, verdict: CheckVerdict) -> None:
        self.measurement, self.verdict = measurement, verdict

    @property
    def ok(self) -> bool:
        """Whether the check passed."""
        return self.verdict.exit_code == 0

    def rows(self) -> list[dict[str, Any]]:
        """A row for every activation and step: the measured slope over widths, and what is allowed."""
        return [
            {"activation": judged.activation.name, "kind": judged.activation.kind, "step": slope.step,
             "of": "change" if slope.step else "value", "slope": slope.fit.slope, "low": slope.fit.low,
             "high": slope.fit.high, "allowed_low": slope.low, "allowed_high": slope.high, "status": slope.status}
            for judged in self.verdict.judged
            for slope in judged.slopes
        ]  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """The document of `coord-check --format json`, `muaudit.coord-check/1`."""
        document: dict[str, Any] = json.loads(to_json(self.measurement, self.verdict))
        return document

    def plot(self, path: Path | str) -> None:
        """Draw it as png, svg or pdf. Raises UserError where matplotlib is missing or the file cannot be written."""
        check_plot(Path(path))
        plot([(self.measurement, self.verdict)], Path(path))

    @property
    def headline(self) -> str:
        """One line that says how it went."""
        found = self.verdict
        run = self.measurement
        sizes = ", ".join(map(str, run.widths))
        counts = f"{len(found.offenders)} of {len(found.judged)} activations fail"
        wider = f"; wider is better: {found.wider}" if run.axis == "width" else ""
        return f"coordinate check at {run.axis}s {sizes}: {found.status} ({counts}){wider}"

    def _lines(self) -> Iterable[Line]:
        return check_lines(self.measurement, self.verdict)

    def _sections(self) -> list[Section]:
        return check_sections([(self.measurement, self.verdict)])


def coord_check(
    build: Given,
    *,
    train_widths: Sequence[int] = (),
    train_depths: Sequence[int] = (),
    steps: int = 4,
    seeds: int = 3,
    seed: int = 0,
    lr: float | None = None,
    device: str = "cpu",
    dtype: str = "fp32",
    batch: Callable[..., Any] | None = None,
    loss: Callable[..., Any] | None = None,
    optimizer: Callable[..., Any] | str | None = None,
    scheduler: Callable[..., Any] | None = None,
    widths: Sequence[int] | Mapping[str, Sequence[int]] | None = None,
    depths: Sequence[int] | Mapping[str, Sequence[int]] | None = None,
    init: Callable[..., Any] | None = None,
    set: Mapping[str, Any] | None = None,
    plan: Plan | str | Path | None = None,
    progress: Callable[[int, int, int], None] = lambda done, total, width: None,
) -> CoordCheck:
    """Train a model at several widths and look at the sizes of what it computes; as `muaudit coord-check`.

    train_widths: two or more, ascending; the first probe times 1, 2, 4 and 8 by default. train_depths: numbers of
    blocks instead, for a check over depth. build, plan and what belongs to them: as for `check`. progress: told (steps
    done, steps in all, width).

    Raises:
        UserError: something in these does not fit, or the model cannot be trained.
    """
    if train_widths and train_depths:
        raise UserError("train_widths and train_depths: a check is along one of them", "leave one out")
    chosen = tuple(train_depths)
    settings = check_settings(RunSettings(tuple(train_widths), steps, seeds, seed, device, dtype, lr, depths=chosen))
    with eagerly(), answered("the audited code"):
        functions = {"batch": batch, "loss": loss, "optimizer": optimizer, "scheduler": scheduler, "widths": widths,
                     "init": init, "depths": depths}  # fmt: skip
        target = converted(target_of(build, options_of(widths, set, optimizer, depths), functions), plan)
        run = (measure_over_depth if chosen else measure)(target, settings, progress)
    return CoordCheck(run, judge(run))
