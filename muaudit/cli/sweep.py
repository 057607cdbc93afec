"""`muaudit sweep`: train every width with every value, and see whether the best one stays."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated

import typer

from muaudit.cli import flags as flag
from muaudit.cli.guard import guarded
from muaudit.cli.output import say, terminal_width, write
from muaudit.cli.pipeline import patience
from muaudit.cli.report_files import check_outputs
from muaudit.errors import UserError
from muaudit.isolation import Task, run_task
from muaudit.isolation.plain_data import rebuilt
from muaudit.isolation.task import AUDIT
from muaudit.report.render import to_text
from muaudit.report.series import check_logs, write_logs
from muaudit.suggest import check_format
from muaudit.sweep.over import STEPS
from muaudit.sweep.sweep_request import PLANNED, SweepRequest, check_request, frugal
from muaudit.visible import visible

if TYPE_CHECKING:
    from muaudit.sweep.sweep_request import SweepRequest
    from muaudit.sweep.whole_sweep import Progress

FORMATS = ("rich", "json", "csv", "html")
PRELOAD = (*AUDIT, "muaudit.sweep.sweep_task")


@guarded
def sweep(
    target: Annotated[
        str | None, typer.Argument(help="As for check; left out: the one auditable file here.", show_default=False)
    ] = None,
    widths: flag.Widths = None,
    depths: Annotated[
        str | None,
        typer.Option(metavar="[NAME=]N,N,N", help="Numbers of blocks instead; beside --widths, one for each of them."),
    ] = None,
    over: Annotated[
        str | None,
        typer.Option(metavar="NAME=N,N,N", help="batch, sequence or steps instead: one model, other runs of it."),
    ] = None,
    lr: Annotated[
        str | None,
        typer.Option(metavar="VALUES", help="2^-12..2^-4, 1e-4..1e-2:9 or a list (default: ×1/16 to ×16 of its own)."),
    ] = None,
    near: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=0,
            help="At wider widths only the N learning rates on either side of the narrower one's best, and on while "
            "the best is at an end. 0: all.",
        ),
    ] = 2,
    extend: Annotated[
        int,
        typer.Option(metavar="N", min=0, help="Learning rates beyond an end of a range, while the best one is there."),
    ] = 4,
    steps: Annotated[int, typer.Option(metavar="N", min=1, help="Updates of every run.")] = 300,
    seeds: Annotated[int, typer.Option(metavar="N", min=1, help="Runs of every value, on data of their own.")] = 3,
    until_decided: Annotated[
        bool,
        typer.Option("--until-decided", help="Add seeds where they tell, until there is a verdict or --budget ends."),
    ] = False,
    hp: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUES",
            help="Another hyperparameter, at the best lr of the narrowest width: readout, attention, embedding, init, "
            "embedding_lr, gain_lr, bias_lr, weight_decay, beta1, beta2, momentum, eps, clip. Repeatable.",
        ),
    ] = None,
    plan: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Sweep the target beside itself as this plan converts it.")
    ] = None,
    convert: Annotated[bool, typer.Option("--convert", help="As --plan, with a plan that is made here.")] = False,
    base_width: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Width that --convert leaves as it is (default: the narrowest)."),
    ] = None,
    base_depth: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Depth that --convert leaves as it is (default: the shallowest)."),
    ] = None,
    only_plan: Annotated[bool, typer.Option("--only-plan", help="Leave out the target as it is.")] = False,
    compare: Annotated[
        str | None, typer.Option(metavar="TARGET", help="Sweep this target too and draw it beside the first.")
    ] = None,
    data: flag.Data = None,
    batch_size: flag.BatchSize = 16,
    schedule: flag.Schedule = None,
    warmup: flag.Warmup = 0,
    training_loss: flag.TrainingLoss = False,
    clip: flag.Clip = None,
    optimizer: flag.Optimizer = None,
    tolerance: Annotated[
        float, typer.Option(metavar="FACTOR", help="How far the best value may drift without a remark.")
    ] = 2.0,
    lost: Annotated[
        float,
        typer.Option(metavar="SHARE", help="Share of its loss that the narrow optimum may cost the widest."),
    ] = 0.01,
    results: flag.Results = None,
    budget: Annotated[
        str | None, typer.Option(metavar="AMOUNT", help="Stop in time: 600 (seconds), 10m, 2h, or 1e15flops.")
    ] = None,
    together: Annotated[
        int, typer.Option(metavar="N", min=0, help="Values trained as one ensemble; 0: as many as pay off.")
    ] = 0,
    device: flag.Device = "cpu",
    dtype: flag.Dtype = "fp32",
    ray: flag.Ray = None,
    ray_cpus: flag.RayCpus = 1.0,
    ray_gpus: flag.RayGpus = 0.0,
    seed: Annotated[int, typer.Option(metavar="N", help="The first seed.")] = 0,
    width: flag.GrowingWidth = None,
    set_: flag.Set = None,
    input_: flag.Input = None,
    init: flag.Init = None,
    no_init: flag.NoInit = False,
    command: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            help="Train by this command in place of a target: 'python train.py --width {width} --lr {lr} --seed "
            "{seed}'. The loss is in the last line that it prints.",
        ),
    ] = None,
    loss_file: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="Where --command leaves its loss: a CSV or JSON file, {width} and so on in it."
        ),
    ] = None,
    loss_name: Annotated[
        str | None, typer.Option(metavar="NAME", help="What the loss is called there (default: loss, val_loss, ...).")
    ] = None,
    imported: Annotated[
        str | None,
        typer.Option(
            "--import",
            metavar="FILE",
            help="Judge runs that were made elsewhere: a CSV file with a row a run, or runs/{width}-{lr}-{seed}.csv.",
        ),
    ] = None,
    columns: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=COLUMN", help="What --import's columns width, lr, seed and loss are called."),
    ] = None,
    plot: flag.Plot = None,
    tensorboard: flag.Tensorboard = None,
    wandb: flag.Wandb = None,
    curves: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Draw losses along training, a curve a width, at the narrowest one's best lr."
        ),
    ] = None,
    format_: Annotated[str, typer.Option("--format", metavar="NAME", help="rich, json, csv or html.")] = "rich",
    output: flag.ReportFile = None,
    timeout: flag.Timeout = None,
    debug: flag.Debug = False,
) -> int:
    """Train every width with every learning rate. Does the best one stay where it is?"""
    check_format(format_, FORMATS)

    request = SweepRequest(
        target=target, widths=widths, lr=lr, near=near, extend=extend, until_decided=until_decided,
        steps=steps, seeds=seeds, seed=seed,
        hp=tuple(hp or ()), plan=plan, convert=convert, base_width=base_width, only_plan=only_plan,
        depths=depths, base_depth=base_depth, over=over,
        compare=compare, data=data, batch_size=batch_size, schedule=schedule,
        warmup=warmup, training_loss=training_loss, clip=clip,
        optimizer=optimizer, tolerance=tolerance, lost=lost, results=results, budget=budget,
        together=together, device=device, dtype=dtype, ray=ray, ray_cpus=ray_cpus, ray_gpus=ray_gpus,
        width=tuple(width or ()), set=tuple(set_ or ()), input=tuple(input_ or ()), init=init,
        no_init=no_init, command=command, loss_file=loss_file, loss_name=loss_name, imported=imported,
        columns=tuple(columns or ()),
    )  # fmt: skip
    check_request(request)
    if curves is not None and over is not None and over.partition("=")[0].strip() == STEPS:
        raise UserError("--curves draws runs of one length, and --over steps sweeps that", "leave --curves out")
    check_outputs([output, plot, curves], [target, plan, compare, results])
    for drawn in (plot, curves):
        if drawn is not None:
            from muaudit.training.picture import check_plot

            check_plot(drawn)
    check_logs(tensorboard, wandb)
    logs = None if tensorboard is None and wandb is None else (tensorboard, wandb)
    return _run(request, plot, curves, logs, format_, output, timeout, debug)


def _run(
    request: SweepRequest,
    plot: Path | None,
    along: Path | None,
    logs: tuple[Path | None, str | None] | None,
    format_: str,
    output: Path | None,
    timeout: int | None,
    debug: bool,
) -> int:
    frugal(request)
    from muaudit.sweep.result import SweepResult
    from muaudit.sweep.sweep_verdict import Tolerance, judge

    if request.elsewhere:
        entry = "muaudit.sweep.command_task:swept_elsewhere"
        task = Task(request.command or request.imported or "", entry, (request,), ("muaudit.sweep.command_task",))
    else:
        named, entry = request.target or "the model here", "muaudit.sweep.sweep_task:swept"
        task = Task(named, entry, (request,), PRELOAD, silent=not debug)  # a model would print in every run
    with run_bar() as progress:
        found = run_task(task, patience=patience(timeout), progress=progress, forward_interrupt=True)
    measured, tolerance = rebuilt(SweepResult, found), Tolerance(request.tolerance, request.lost)
    verdicts = [judge(curves, tolerance) for curves in measured.curves]
    if plot is not None:
        from muaudit.sweep.sweep_plot import plot as draw

        draw(measured, verdicts, plot)
    if along is not None and not measured.along:
        say(f"{along} is not drawn: these runs were made elsewhere, or before their curves were kept")
    elif along is not None:
        from muaudit.sweep.curves_plot import plot_curves

        plot_curves(measured, along)
    if logs is not None:
        from muaudit.sweep.logged_sweep import logged

        write_logs(list(logged(measured)), f"sweep {measured.describe}", *logs)
    if format_ == "rich":
        from muaudit.sweep.sweep_lines import sweep_lines

        columns = terminal_width() if output is None else None
        text = to_text(sweep_lines(measured, verdicts, columns), columns)
    elif format_ == "html":
        from muaudit.sweep.sweep_page import sweep_page

        text = visible(sweep_page(measured, verdicts))
    else:
        from muaudit.sweep.result import to_csv, to_json

        text = to_json(measured, verdicts) if format_ == "json" else to_csv(measured)
    write(text, output)
    return int(any(each.status == "fail" for each in verdicts if each.curves.variant == measured.main))


@contextmanager
def run_bar() -> Iterator[Progress]:
    """A progress bar on stderr for people; for logs a line every half minute."""
    if not sys.stderr.isatty():
        yield _Log()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    shown = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[left]}"))
    with Progress(*shown, console=Console(stderr=True), transient=True, redirect_stdout=False) as bar:
        task = bar.add_task("auditing", left="")

        def progress(done: int, total: int, what: str, left: float | None) -> None:
            if what.startswith(PLANNED):
                say(what)
            else:
                bar.update(task, completed=done, total=total, description=what, left=_left(left))

        yield progress


class _Log:
    """Progress for those who read it later."""

    def __init__(self) -> None:
        self._last = 0.0

    def __call__(self, done: int, total: int, what: str, left: float | None) -> None:
        if what.startswith(PLANNED):
            say(what)
        elif monotonic() - self._last >= 30:
            self._last = monotonic()
            say(f"{done} of {total} runs done, now {what}{_left(left)}")


def _left(seconds: float | None) -> str:
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    return f", {minutes // 60}:{minutes % 60:02}:{rest:02} left" if minutes >= 60 else f", {minutes}:{rest:02} left"
