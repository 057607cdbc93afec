"""`muaudit report`: everything about one model on one page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, get_args

import typer
from markupsafe import Markup

from muaudit.cli import flags as flag
from muaudit.cli.coord_check import PRELOAD as CHECKING
from muaudit.cli.coord_check import SEEDS, STEPS, measured_runs
from muaudit.cli.guard import COULD_NOT, guarded
from muaudit.cli.output import say, write
from muaudit.cli.pipeline import answered, audit_all
from muaudit.cli.progress import progress
from muaudit.cli.report_files import check_outputs
from muaudit.cli.request import Flags, Request, request
from muaudit.cli.sweep import PRELOAD as SWEEPING
from muaudit.cli.sweep import run_bar
from muaudit.convert.plan_sizes import PlanSizes
from muaudit.errors import UserError
from muaudit.isolation import InternalError, Task, run_task
from muaudit.isolation.plain_data import rebuilt
from muaudit.jobs import Job
from muaudit.page.html_document import Section, Style, section, whole_page
from muaudit.report.html import audit_sections
from muaudit.report.listing import Failure, Run
from muaudit.sweep.sweep_request import SweepRequest, check_request
from muaudit.training.run_settings import RunSettings, be_frugal, check_settings, parse_width_list
from muaudit.visible import visible


@guarded
def report(
    target: flag.Target = None,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The page.")] = Path("report.html"),
    base_width: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="The width that the plan leaves as it is (default: the first probe)."),
    ] = None,
    widths: flag.Widths = None,
    steps: Annotated[int, typer.Option(metavar="N", min=1, help="Updates of the coordinate checks.")] = STEPS,
    seeds: Annotated[int, typer.Option(metavar="N", min=1, help="Initializations at every width.")] = SEEDS,
    no_training: Annotated[
        bool, typer.Option("--no-training", help="Leave the coordinate checks out: nothing is trained.")
    ] = False,
    sweep: Annotated[
        bool, typer.Option("--sweep", help="Sweep learning rates too, as it is and as converted (minutes and more).")
    ] = False,
    lr: Annotated[
        str | None,
        typer.Option(metavar="VALUES", help="The sweep's learning rates, as `muaudit sweep --lr` takes them."),
    ] = None,
    results: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Keep the sweep's finished runs there, for the next time.")
    ] = None,
    width: flag.Width = None,
    depth: flag.Depth = None,
    axis: flag.Axis = None,
    set_: flag.Set = None,
    input_: flag.Input = None,
    optimizer: flag.Optimizer = None,
    optimizer_kind: flag.OptimizerKind = None,
    init: flag.Init = None,
    no_init: flag.NoInit = False,
    profile: flag.Profile = None,
    config: flag.Config = None,
    isolated: flag.Isolated = False,
    timeout: flag.Timeout = None,
    debug: flag.Debug = False,
) -> int:
    """Write one HTML page: audit, conversion and measurement. What cannot be done is said in its place."""
    wanted = request(
        Flags(
            target, width or (), set_ or (), input_ or (), optimizer, profile=profile, config=config, isolated=isolated,
            fixes=True, why="*", init=init, no_init=no_init, optimizer_kind=optimizer_kind or (), depth=depth or (),
            axis=axis,
        )
    )  # fmt: skip
    names = list(dict.fromkeys(job.shown for job in wanted.jobs))
    if len(names) > 1:
        raise UserError(f"several targets are configured: {', '.join(names)}", f"name one: muaudit report {names[0]}")
    check_outputs([out], [*wanted.files, results])
    settings = check_settings(RunSettings(parse_width_list(widths) if widths else (), steps, seeds))
    swept = SweepRequest(
        target=wanted.jobs[0].text, widths=widths, lr=lr, convert=True, base_width=base_width, results=results,
        optimizer=optimizer, set=tuple(set_ or ()), input=tuple(input_ or ()), init=init, no_init=no_init,
    )  # fmt: skip
    if sweep:
        check_request(swept)
    elif lr is not None or results is not None:
        raise UserError("--lr and --results are the sweep's", "add --sweep")
    be_frugal()
    patience = timeout or wanted.settings.timeout
    run = _audited(wanted, patience)
    with TemporaryDirectory() as folder:
        parts = _Parts(wanted.jobs[0], run, patience, Path(folder))
        swept = replace(swept, results=results or Path(folder) / "sweep.jsonl")
        sections = audit_sections(run)
        if run.reports:
            sections += parts.conversion(base_width)
            sections += [] if no_training else parts.measurement(settings)
            sections += parts.transfer(swept) if sweep else []
    write(visible(whole_page(names[0], sections)), out)
    say(f"wrote {out}")
    failed = max((each.exit_code(False, "error") for each in run.reports), default=0)
    return COULD_NOT if run.failures or not run.reports else failed


def _audited(wanted: Request, patience: int) -> Run:
    run, _ = answered(audit_all(wanted, False, None, patience), wanted)
    return run


@dataclass
class _Parts:
    """What follows the audit; each part is a section, or the reason why it is not there."""

    job: Job
    run: Run
    patience: int
    folder: Path

    @property
    def plan(self) -> Path:
        return self.folder / "plan.yaml"

    def conversion(self, base_width: int | None) -> list[Section]:
        """The plan, unless the model is right as it is."""
        first = self.run.reports[0]
        if first.axis != "width" or first.verdict == "mup":
            return []
        job = replace(self.job, fixes=False, why=None)
        base = base_width or first.probes[0]
        task = Task(job.shown, "muaudit.convert.conversion_task:shown_plan",
                    (job, PlanSizes(base, first.probes[-1]), "absorbed", self.folder))  # fmt: skip

        def made() -> Iterator[Section]:
            with progress(f"converting {job.shown}"):
                data = run_task(task, patience=self.patience)
            style: Style = next((each for each in get_args(Style) if each == data["style"]), "plain")
            yield Section("plan", data["title"], style, Markup(data["body"]))

        return self._tried("conversion", "plan", made)

    def measurement(self, settings: RunSettings) -> list[Section]:
        """The coordinate check, and that of the model as converted."""

        def made() -> Iterator[Section]:
            from muaudit.training.coord_check_page import check_sections
            from muaudit.training.verdict import judge

            plans = [None, *([self.plan] if self.plan.exists() else [])]
            tasks = [
                Task(self.job.shown, "muaudit.training.coord_check_task:measured",
                     (self.job.text, self.job.options, plan, settings), CHECKING)
                for plan in plans
            ]  # fmt: skip
            found = list(measured_runs(tasks, self.patience))
            yield from check_sections([(each, judge(each)) for each in found if not isinstance(each, Exception)])
            for each in found:
                if isinstance(each, Exception):
                    raise each

        return self._tried("measurement", "check", made)

    def transfer(self, asked: SweepRequest) -> list[Section]:
        """The sweep, as it is and as converted."""

        def made() -> Iterator[Section]:
            from muaudit.sweep.result import SweepResult
            from muaudit.sweep.sweep_page import sweep_section
            from muaudit.sweep.sweep_verdict import Tolerance, judge

            task = Task(self.job.shown, "muaudit.sweep.sweep_task:swept", (asked,), SWEEPING, silent=True)
            with run_bar() as bar:
                found = run_task(task, patience=self.patience, progress=bar, forward_interrupt=True)
            measured = rebuilt(SweepResult, found)
            yield sweep_section(
                measured, [judge(each, Tolerance(asked.tolerance, asked.lost)) for each in measured.curves]
            )

        return self._tried("transfer", "sweep", made)

    def _tried(self, what: str, name: str, made: Callable[[], Iterator[Section]]) -> list[Section]:
        """The sections, and one that says what could not be done."""
        found: list[Section] = []
        try:
            for each in made():
                found.append(each)  # those before a failure stay
        except (UserError, InternalError) as error:
            words = str(error)
            say(f"{what}: {words}")
            failure = Failure(f"No {what} of {self.job.shown}", words)
            found.append(
                section("failure.html", f"no-{name}", failure.target, "unknown", failure=failure, words="not done")
            )
        return found
