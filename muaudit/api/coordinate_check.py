"""`muaudit.coord_check`: real training at several widths, measured and judged."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict, overload

from ..errors import UserError
from ..page.html_document import Section
from ..plan.plan import Plan
from ..report.layout import Line, line
from ..report.series import check_logs
from ..targets import Target
from ..targets.eager import eagerly
from ..targets.usercode import answered
from ..training.coord_check_lines import check_lines
from ..training.coord_check_page import check_sections
from ..training.coord_check_task import converted_by
from ..training.document import from_file, is_report, to_json
from ..training.ladder import climb
from ..training.logged_check import log_check
from ..training.measure import measure
from ..training.measurement import Measurement
from ..training.over_depths import measure_over_depth
from ..training.picture import check_plot, plot
from ..training.precision import measure_precision
from ..training.precisions import parse_precisions
from ..training.run_settings import RunSettings, check_settings, check_tables
from ..training.spectral import measure_spectral
from ..training.verdict import CheckVerdict, judge
from .check_tables import LadderCheck, PrecisionCheck, SpectralCheck
from .given_targets import Given, Texts, options_of, target_of
from .shown import Shown

if TYPE_CHECKING:
    from typing_extensions import Unpack


class CoordCheck(Shown):
    """A measurement with its verdict. `ok`: whether every activation is stable in width and wider is better.

    others: what it was compared with; they are drawn and printed below it.
    """

    def __init__(self, measurement: Measurement, verdict: CheckVerdict) -> None:
        self.measurement, self.verdict = measurement, verdict
        self.others: tuple[CoordCheck, ...] = ()

    @classmethod
    def read(cls, path: Path | str) -> CoordCheck:
        """Judge a JSON report again, as `coord-check --from`. Raises UserError where the file is none."""
        run = from_file(Path(path))
        return cls(run, judge(run))

    @property
    def _all(self) -> list[tuple[Measurement, CheckVerdict]]:
        return [(each.measurement, each.verdict) for each in (self, *self.others)]

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
        plot(self._all, Path(path))

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
        for number, row in enumerate(self._all):
            yield from [line()] if number else []
            yield from check_lines(*row)

    def _sections(self) -> list[Section]:
        return check_sections(self._all)


Progress = Callable[[int, int, int], None]


class CheckOptions(TypedDict, total=False):
    """What every table of `coord_check` takes."""

    train_widths: Sequence[int]
    steps: int
    seeds: int
    seed: int
    lr: float | None
    device: str
    dtype: str
    batch: Callable[..., Any] | None
    loss: Callable[..., Any] | None
    optimizer: Callable[..., Any] | str | None
    optimizer_kind: Texts
    scheduler: Callable[..., Any] | None
    widths: Sequence[int] | Mapping[str, Sequence[int]] | None
    depths: Sequence[int] | Mapping[str, Sequence[int]] | None
    init: Callable[..., Any] | str | None
    no_init: bool
    set: Mapping[str, Any] | None
    input: Texts
    progress: Progress


@overload
def coord_check(build: Given, *, spectral: Literal[True], plan: Plan | str | Path | None = None,
                **options: Unpack[CheckOptions]) -> SpectralCheck: ...  # fmt: skip
@overload
def coord_check(build: Given, *, precision: str | Sequence[str], plan: Plan | str | Path | None = None,
                **options: Unpack[CheckOptions]) -> PrecisionCheck: ...  # fmt: skip
@overload
def coord_check(build: Given, *, ladder: Literal[True], base_width: int | None = None,
                **options: Unpack[CheckOptions]) -> LadderCheck: ...  # fmt: skip
@overload
def coord_check(build: Given, *, spectral: Literal[False] = ..., precision: None = ..., ladder: Literal[False] = ...,
                train_depths: Sequence[int] = (), plan: Plan | str | Path | None = None, compare: Given | None = None,
                compare_plan: Plan | str | Path | None = None, tensorboard: Path | str | None = None,
                wandb: str | None = None, **options: Unpack[CheckOptions]) -> CoordCheck: ...  # fmt: skip
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
    optimizer_kind: Texts = (),
    scheduler: Callable[..., Any] | None = None,
    widths: Sequence[int] | Mapping[str, Sequence[int]] | None = None,
    depths: Sequence[int] | Mapping[str, Sequence[int]] | None = None,
    init: Callable[..., Any] | str | None = None,
    no_init: bool = False,
    set: Mapping[str, Any] | None = None,
    input: Texts = (),
    plan: Plan | str | Path | None = None,
    compare: Given | None = None,
    compare_plan: Plan | str | Path | None = None,
    tensorboard: Path | str | None = None,
    wandb: str | None = None,
    spectral: bool = False,
    precision: str | Sequence[str] | None = None,
    ladder: bool = False,
    base_width: int | None = None,
    progress: Progress = lambda done, total, width: None,
) -> Shown:
    """Train a model at several widths and look at the sizes of what it computes; as `muaudit coord-check`.

    train_widths: two or more, ascending; the first probe times 1, 2, 4 and 8 by default. train_depths: numbers of
    blocks instead, for a check over depth. build, plan and what belongs to them: as for `check`. compare: another
    target or a JSON report, compare_plan: the target once more, as this plan has it; both are in `others` of the
    result. tensorboard: a folder, wandb: a project, which the series are logged to. progress: told (steps done, steps
    in all, width).

    Other tables in place of activations: spectral, norms of weights and of their changes; precision ("fp16", "bf16" or
    "all"), what these formats could not hold; ladder, what each ingredient of µP buys, where nothing is changed at
    base_width.

    Raises:
        UserError: something in these does not fit, or the model cannot be trained.
    """
    if train_widths and train_depths:
        raise UserError("train_widths and train_depths: a check is along one of them", "leave one out")
    chosen, folder = tuple(train_depths), None if tensorboard is None else Path(tensorboard)
    check_tables(ladder, precision, spectral, base_width, plan, {
        "--depths": chosen or None, "--compare": compare, "--compare-plan": compare_plan, "--tensorboard": folder,
        "--wandb": wandb,
    })  # fmt: skip
    precisions = None if precision is None else parse_precisions(",".join(_several(precision)))
    settings = check_settings(RunSettings(tuple(train_widths), steps, seeds, seed, device, dtype, lr, depths=chosen))
    check_logs(folder, wandb)
    options = options_of(widths, set, optimizer, depths, init=init, no_init=no_init, input_=input,
                         optimizer_kind=optimizer_kind)  # fmt: skip
    functions = {"batch": batch, "loss": loss, "optimizer": optimizer, "scheduler": scheduler, "widths": widths,
                 "init": init, "depths": depths}  # fmt: skip

    def found(given: Given, by: Plan | str | Path | None = None) -> Target:
        return converted_by(target_of(given, options, functions), Path(by) if isinstance(by, str) else by)

    def measured(target: Target | Measurement) -> CoordCheck:
        if isinstance(target, Target):
            target = (measure_over_depth if chosen else measure)(target, settings, progress)
        return CoordCheck(target, judge(target))

    with eagerly(), answered("the audited code"):
        target = found(build, plan)
        if ladder:
            return LadderCheck(climb(target, base_width, settings, progress))
        if precisions is not None:
            return PrecisionCheck(measure_precision(target, settings, precisions, progress))
        if spectral:
            return SpectralCheck(measure_spectral(target, settings, progress))
        beside: list[Target | Measurement] = []
        if compare is not None:
            stored = isinstance(compare, (str, Path)) and is_report(str(compare))
            beside.append(from_file(Path(str(compare))) if stored else found(compare))
        if compare_plan is not None:
            beside.append(found(build, compare_plan))
        result = measured(target)
        result.others = tuple(measured(each) for each in beside)
    for each in (result, *result.others):
        log_check(each.measurement, folder, wandb)
    return result


def _several(given: str | Sequence[str]) -> Sequence[str]:
    return [given] if isinstance(given, str) else given
