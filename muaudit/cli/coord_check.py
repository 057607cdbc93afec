"""`muaudit coord-check`: train at several widths and judge what grows or dies."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from muaudit.cli import flags as flag
from muaudit.cli.guard import COULD_NOT, explain, guarded
from muaudit.cli.output import terminal_width, write
from muaudit.cli.pipeline import patience
from muaudit.cli.report_files import check_outputs
from muaudit.cli.request import Flags
from muaudit.cli.write_answer import write_answer
from muaudit.errors import UserError
from muaudit.isolation import InternalError, Task, run_task
from muaudit.isolation.plain_data import rebuilt
from muaudit.isolation.task import AUDIT
from muaudit.report.render import to_text
from muaudit.report.series import check_logs
from muaudit.suggest import check_format
from muaudit.targets.options import (
    TargetOptions,
)
from muaudit.training.precisions import parse_precisions
from muaudit.training.run_settings import (
    RunSettings,
    be_frugal,
    check_settings,
    check_tables,
    parse_depth_list,
    parse_width_list,
)
from muaudit.visible import visible

if TYPE_CHECKING:
    from muaudit.targets.options import TargetOptions
    from muaudit.training.measure import Progress
    from muaudit.training.measurement import Measurement
    from muaudit.training.verdict import CheckVerdict

FORMATS = ("rich", "json", "csv", "html")
PRELOAD = (*AUDIT, "muaudit.training.measure")
STEPS, SEEDS, DEVICE, DTYPE = 4, 3, "cpu", "fp32"


@guarded
def coord_check(
    target: Annotated[
        str | None,
        typer.Argument(help="As for check; left out: the one auditable file here.", show_default=False),
    ] = None,
    widths: flag.Widths = None,
    depths: Annotated[
        str | None,
        typer.Option(metavar="[NAME=]N,N,N", help="Numbers of blocks to train at instead: a check over depth."),
    ] = None,
    steps: Annotated[int, typer.Option(metavar="N", min=1, help="Updates to take.")] = STEPS,
    seeds: Annotated[int, typer.Option(metavar="N", min=1, help="Initializations at every width.")] = SEEDS,
    device: flag.Device = DEVICE,
    dtype: flag.Dtype = DTYPE,
    optimizer: flag.Optimizer = None,
    optimizer_kind: flag.OptimizerKind = None,
    lr: Annotated[
        float | None,
        typer.Option(metavar="RATE", help="Largest learning rate at the first probe; other groups keep their ratio."),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="The first seed.")] = 0,
    width: flag.GrowingWidth = None,
    set_: flag.Set = None,
    input_: flag.Input = None,
    init: flag.Init = None,
    no_init: flag.NoInit = False,
    format_: Annotated[str, typer.Option("--format", metavar="NAME", help="rich, json, csv or html.")] = "rich",
    output: flag.ReportFile = None,
    from_: Annotated[
        Path | None, typer.Option("--from", metavar="FILE", help="Judge a JSON report again, without training.")
    ] = None,
    plot: flag.Plot = None,
    tensorboard: flag.Tensorboard = None,
    wandb: flag.Wandb = None,
    compare: Annotated[
        str | None,
        typer.Option(metavar="TARGET", help="Check this target (or JSON report) too and draw it below the first."),
    ] = None,
    plan: Annotated[Path | None, typer.Option(metavar="FILE", help="Check the model as this plan converts it.")] = None,
    compare_plan: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Check the target as it is, and below it as this plan has it.")
    ] = None,
    spectral: Annotated[
        bool,
        typer.Option("--spectral", help="Norms of weights and their changes against sqrt(fan_out/fan_in) instead."),
    ] = False,
    ladder: Annotated[
        bool, typer.Option("--ladder", help="The target as it is, then µP one ingredient at a time: what each buys.")
    ] = False,
    precision: Annotated[
        str | None,
        typer.Option(metavar="NAME,...", help="fp16, bf16 or all: how much of a run it could not hold, by width."),
    ] = None,
    base_width: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Of --ladder: where nothing is changed (default: the first).")
    ] = None,
    timeout: flag.Timeout = None,
    debug: flag.Debug = False,
) -> int:
    """Train a few steps at several widths and measure. Does every activation, and its change, keep its size?"""
    check_format(format_, FORMATS)
    if from_ is not None:
        unused = {
            "--plan": plan, "--compare-plan": compare_plan, "--widths": widths, "--depths": depths, "--lr": lr,
            "--optimizer": optimizer,
            "--optimizer-kind": optimizer_kind,
            "--width": width, "--set": set_, "--input": input_, "--init": init,
            "--no-init": no_init, "--steps": steps != STEPS, "--seeds": seeds != SEEDS,
            "--seed": seed, "--device": device != DEVICE, "--dtype": dtype != DTYPE,
        }  # fmt: skip
        trained = compare is not None and not _is_report(compare)  # for which they count
        for name, given in unused.items():
            if given and not (trained and name not in ("--plan", "--compare-plan")):
                raise UserError(f"--from reads a finished run: {name} would change nothing", f"leave {name} out")
    if (compare is not None or compare_plan is not None) and format_ not in ("rich", "html"):
        raise UserError(
            f"a comparison cannot be one report: {format_} holds one run", "write each target's report on its own"
        )
    if from_ is not None and target is not None:
        raise UserError(f"--from reads a finished run, and {target} would be trained: give one of them")

    if depths is not None and widths is not None:
        raise UserError("--widths and --depths: a check is along one of them", "leave one out")
    chosen = parse_width_list(widths) if widths is not None else ()
    blocks, numbers = parse_depth_list(depths)
    settings = check_settings(RunSettings(chosen, steps, seeds, seed, device, dtype, lr, depths=numbers))
    _check_places(output, plot, [target, plan, from_, compare, compare_plan])
    check_logs(tensorboard, wandb)
    if settings.device == "cpu" and max(settings.widths, default=0) <= 512:
        be_frugal()
    options = Flags(
        None, width or (), set_ or (), input_ or (), optimizer, optimizer_kind=optimizer_kind or (), init=init,
        no_init=no_init,
    ).options()  # fmt: skip
    options = replace(options, depths={blocks: ()}) if blocks else options

    check_tables(ladder, precision, spectral, base_width, plan, {
        "--depths": depths, "--from": from_, "--plot": plot, "--compare": compare, "--compare-plan": compare_plan,
        "--tensorboard": tensorboard, "--wandb": wandb,
    })  # fmt: skip
    if ladder:
        if format_ not in ("rich", "json"):
            raise UserError(f"--ladder is written as rich or json, found {format_}")
        args = target, options, base_width, settings
        return _table("muaudit.training.ladder:climbed", args, patience(timeout), format_, output)
    if precision is not None:
        if format_ not in ("rich", "json"):
            raise UserError(f"--precision is written as rich or json, found {format_}")
        against = target, options, parse_precisions(precision), plan, settings
        return _table("muaudit.training.precision_lines:held_against", against, patience(timeout), format_, output)
    if spectral:
        if format_ in ("csv", "html"):
            raise UserError(f"--spectral is written as rich or json, found {format_}")
        return _spectral(target, options, plan, settings, patience(timeout), format_, output)

    def task(text: str | None, by: Path | None = None) -> Task:
        name = text or "the model here"
        return Task(name, "muaudit.training.coord_check_task:measured", (text, options, by, settings), PRELOAD)

    jobs: list[Task | Measurement] = [task(target, plan) if from_ is None else _stored(from_)]
    if compare is not None:
        jobs.append(_stored(Path(compare)) if _is_report(compare) else task(compare))
    if compare_plan is not None:
        jobs.append(task(target, compare_plan))
    seconds = patience(timeout)
    _check_others(jobs[1:], seconds)
    return _report(jobs, seconds, debug, lambda rows: _write(rows, format_, output, plot, tensorboard, wandb))


def _table(entry: str, args: tuple[Any, ...], seconds: int, format_: str, output: Path | None) -> int:
    """A check that answers with lines and data of its own; the first argument is the target."""
    job = Task(args[0] or "the model here", entry, args, PRELOAD)
    with _bar() as progress:
        found = run_task(job, patience=seconds, progress=progress, forward_interrupt=True)
    return write_answer(found, format_, output)


def _spectral(
    target: str | None, options: TargetOptions, plan: Path | None, settings: RunSettings, seconds: int, format_: str,
    output: Path | None,
) -> int:  # fmt: skip
    """The norms in place of the activations."""
    from muaudit.training.spectral import SpectralRun, judge_spectral
    from muaudit.training.spectral_lines import spectral_lines, status_of, to_json

    name = target or "the model here"
    job = Task(name, "muaudit.training.coord_check_task:spectral", (target, options, plan, settings), PRELOAD)
    with _bar() as progress:
        found = run_task(job, patience=seconds, progress=progress, forward_interrupt=True)
    try:
        run = rebuilt(SpectralRun, found)
    except ValueError as error:
        raise InternalError(f"the process of {name} answered with no measurement: {error}") from error
    judged = judge_spectral(run)
    columns = terminal_width() if output is None else None
    text = to_json(run, judged) if format_ == "json" else to_text(spectral_lines(run, judged), columns)
    write(text, output)
    return 1 if status_of(judged) == "fail" else 0


def _check_places(output: Path | None, plot: Path | None, read: Sequence[str | Path | None]) -> None:
    """Raise UserError unless the files that are asked for can be written, and are none of those that are read."""
    for path in (output, plot):
        if path is None:
            continue
        if not path.resolve().parent.is_dir():
            raise UserError(f"cannot write {path}: no such folder: {path.parent}")
        if path.is_dir():
            raise UserError(f"cannot write {path}: it is a folder")
    check_outputs([output, plot], read)
    if plot is not None:
        from muaudit.training.picture import check_plot

        check_plot(plot)


def _report(
    jobs: Sequence[Task | Measurement],
    seconds: int,
    debug: bool,
    write_all: Callable[[Sequence[tuple[Measurement, CheckVerdict]]], None],
) -> int:
    """Train, and write what was asked for. The exit code is that of the first run; 2 where there is one without."""
    from muaudit.training.verdict import judge

    found = list(measured_runs(jobs, seconds))
    failures = [each for each in found if isinstance(each, Exception)]
    rows = [(run, judge(run)) for run in found if not isinstance(run, Exception)]
    if not rows:
        raise failures[0]
    write_all(rows)
    for failure in failures:
        explain(failure, debug)
    return COULD_NOT if failures else rows[0][1].exit_code


def _write(
    rows: Sequence[tuple[Measurement, CheckVerdict]],
    format_: str,
    output: Path | None,
    plot: Path | None,
    tensorboard: Path | None,
    wandb: str | None,
) -> None:
    if format_ == "rich":
        from muaudit.training.coord_check_lines import check_lines

        columns = terminal_width() if output is None else None
        text = "\n".join(to_text(check_lines(*row, columns), columns) for row in rows)
    elif format_ == "html":
        from muaudit.training.coord_check_page import check_page

        text = visible(check_page(rows))
    else:
        from muaudit.training import document

        text = document.to_json(*rows[0]) if format_ == "json" else document.to_csv(rows[0][0])
    write(text, output)
    if plot is not None:
        from muaudit.training.picture import plot as draw

        draw(rows, plot)
    if tensorboard is not None or wandb is not None:
        from muaudit.training.logged_check import log_check

        for run, _ in rows:
            log_check(run, tensorboard, wandb)


def _stored(path: Path) -> Measurement:
    from muaudit.training.document import from_file

    return from_file(path)


def _is_report(text: str) -> bool:
    from muaudit.training.document import is_report

    return is_report(text)


def _check_others(jobs: Sequence[Task | Measurement], seconds: int) -> None:
    """Everything that can be refused is, before anything is trained. The first target tells by itself."""
    for job in jobs:
        if isinstance(job, Task):
            run_task(
                Task(job.name, "muaudit.training.coord_check_task:checked", job.args[:3], PRELOAD), patience=seconds
            )


def measured_runs(
    jobs: Sequence[Task | Measurement], seconds: int
) -> Iterator[Measurement | UserError | InternalError]:
    """What is stored as it is, targets after training them; nothing after an interrupt."""
    from muaudit.training.measurement import Measurement

    for job in jobs:
        if isinstance(job, Measurement):
            yield job
            continue
        try:
            with _bar() as progress:
                found = run_task(job, patience=seconds, progress=progress, forward_interrupt=True)
            run = rebuilt(Measurement, found)
        except (UserError, InternalError) as error:
            yield error
            continue
        except ValueError as error:
            yield InternalError(f"the process of {job.name} answered with no measurement: {error}")
            continue
        yield run
        if run.interrupted:
            return


@contextmanager
def _bar() -> Iterator[Progress]:
    """A progress bar on stderr, for people only."""
    if not sys.stderr.isatty():
        yield lambda done, total, width: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    shown = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*shown, console=Console(stderr=True), transient=True, redirect_stdout=False) as bar:
        task = bar.add_task("auditing")
        yield lambda done, total, width: bar.update(task, completed=done, total=total, description=f"width {width}")
