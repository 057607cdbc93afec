"""`muaudit.sweep`: learning rates over widths."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..page.html_document import Section
from ..report.layout import Line
from ..report.series import check_logs, write_logs
from ..suggest import nearest
from ..sweep.command_task import carry_out_elsewhere
from ..sweep.logged_sweep import logged
from ..sweep.result import SweepResult, to_json
from ..sweep.sweep_lines import sweep_lines
from ..sweep.sweep_page import sweep_section
from ..sweep.sweep_plot import plot
from ..sweep.sweep_request import SweepRequest, check_request
from ..sweep.sweep_task import carry_out
from ..sweep.sweep_verdict import SweepVerdict, judge
from ..sweep.sweep_words import verdict_words
from ..training.picture import check_plot
from .shown import Shown

Progress = Callable[[int, int, str, float | None], None]


class Swept(Shown):
    """The runs of a sweep with its verdicts. `ok`: whether none of them says that it does not transfer."""

    def __init__(self, measured: SweepResult, verdicts: Sequence[SweepVerdict]) -> None:
        self.measured, self.verdicts = measured, tuple(verdicts)

    @property
    def ok(self) -> bool:
        """Whether no verdict on the main variant is a failure."""
        return not any(each.status == "fail" for each in self._main)

    @property
    def _main(self) -> list[SweepVerdict]:
        return [each for each in self.verdicts if each.curves.variant == self.measured.main]

    def rows(self) -> list[dict[str, Any]]:
        """One row a run; a loss is None where it diverged."""
        return [
            {"variant": each["variant"], "hyperparameter": each["hyperparameter"], **run}
            for each in self.to_dict()["verdicts"]
            for run in each["runs"]
        ]

    def to_dict(self) -> dict[str, Any]:
        """The document of `sweep --format json`."""
        document: dict[str, Any] = json.loads(to_json(self.measured, self.verdicts))
        return document

    def plot(self, path: Path | str) -> None:
        """Draw it as png, svg or pdf. Raises UserError where matplotlib is missing or the file cannot be written."""
        check_plot(Path(path))
        plot(self.measured, self.verdicts, Path(path))

    @property
    def headline(self) -> str:
        """One line that says how it went."""
        return f"{self.measured.describe}: " + "; ".join(
            f"{each.curves.knob} {verdict_words(each)}" + (f" ({each.reasons[0]})" if each.reasons else "")
            for each in self._main
        )

    def _lines(self) -> Iterable[Line]:
        return sweep_lines(self.measured, list(self.verdicts))

    def _sections(self) -> list[Section]:
        return [sweep_section(self.measured, self.verdicts)]


def sweep(
    target: str | Path | None = None,
    *,
    widths: Sequence[int] | str | None = None,
    lr: Sequence[float] | str | None = None,
    tensorboard: Path | str | None = None,
    wandb: str | None = None,
    progress: Progress = lambda done, total, what, left: None,
    **options: Any,
) -> Swept:
    """Train every width with every learning rate; as `muaudit sweep`. Finished runs are kept, and taken up again.

    target: as the command line takes it. widths, lr: sequences, or the command line's text ("2^-12..2^-4").
    options: the command line's by their names (`steps`, `seeds`, `hp`, `plan`, `convert`, `base_width`, `data`,
    `budget`, `results`, ...). tensorboard: a folder, wandb: a project, which the runs are logged to. progress: told
    (runs done, runs in all, what is run, seconds left).

    Raises:
        UserError: an option is not known or does not fit, or the target cannot be trained.
    """
    known = [each.name for each in fields(SweepRequest)]
    for name in options:
        if name not in known:
            raise UserError(f"sweep has no option {name!r}", nearest(name, known, "options"))
    request = SweepRequest(
        target=None if target is None else str(target),
        widths=widths if widths is None or isinstance(widths, str) else ",".join(map(str, widths)),
        lr=lr if lr is None or isinstance(lr, str) else ",".join(map(repr, lr)),
        **{name: _as_asked(name, value) for name, value in options.items()},
    )
    check_request(request)
    logs = None if tensorboard is None else Path(tensorboard), wandb
    check_logs(*logs)
    run = carry_out_elsewhere if request.elsewhere else carry_out
    measured, tolerance = run(request, progress)
    write_logs(list(logged(measured)) if any(logs) else [], f"sweep {measured.describe}", *logs)
    return Swept(measured, [judge(curves, tolerance) for curves in measured.curves])


def _as_asked(name: str, value: Any) -> Any:
    """Paths from texts, and several values from one."""
    if name in ("plan", "results"):
        return None if value is None else Path(value)
    if name == "depths" and value is not None and not isinstance(value, str):
        return ",".join(map(str, value))
    if name in ("hp", "width", "set", "input", "columns"):
        return (value,) if isinstance(value, str) else tuple(value)
    return value
