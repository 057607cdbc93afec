"""`muaudit tune`: hyperparameters sought on a small model, to be carried to the large one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from muaudit.cli import flags as flag
from muaudit.cli.guard import guarded
from muaudit.cli.output import terminal_width, write
from muaudit.cli.pipeline import patience
from muaudit.cli.report_files import check_outputs
from muaudit.cli.sweep import run_bar
from muaudit.isolation import Task, run_task
from muaudit.isolation.plain_data import rebuilt
from muaudit.isolation.task import AUDIT
from muaudit.report.render import to_text
from muaudit.suggest import check_format
from muaudit.sweep.sweep_request import SweepRequest
from muaudit.training.run_settings import be_frugal
from muaudit.tune.tune_request import TuneRequest, check_tune

FORMATS = ("rich", "json")
PRELOAD = (*AUDIT, "muaudit.tune.tune_task")


@guarded
def tune(
    target: Annotated[
        str | None, typer.Argument(help="As for check; left out: the one auditable file here.", show_default=False)
    ] = None,
    at: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="The small width to search at (default: the first probe).")
    ] = None,
    at_depth: Annotated[
        str | None,
        typer.Option(metavar="[NAME=]N", help="The small number of blocks to search at (default: the model's own)."),
    ] = None,
    lr: Annotated[
        str | None,
        typer.Option(metavar="VALUES", help="1e-4..1e-1 to draw from, or a list (default: ×1/16 to ×16 of its own)."),
    ] = None,
    hp: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUES", help="Another hyperparameter to draw, as for sweep. Repeatable."),
    ] = None,
    samples: Annotated[int, typer.Option(metavar="N", min=1, help="How many to draw at random.")] = 32,
    finalists: Annotated[int, typer.Option(metavar="N", min=1, help="How many of the best are run again.")] = 4,
    seeds: Annotated[int, typer.Option(metavar="N", min=1, help="Other seeds that choose among these.")] = 3,
    steps: Annotated[int, typer.Option(metavar="N", min=1, help="Updates of every run.")] = 300,
    longer: Annotated[
        float, typer.Option(metavar="FACTOR", help="Run the finalists so many times longer, too; 1: do not.")
    ] = 2.0,
    target_width: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="The large width; with --target-steps the share of that training which the search took is told.",
        ),
    ] = None,
    target_depth: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="The large number of blocks, with --at-depth.")
    ] = None,
    target_steps: Annotated[int | None, typer.Option(metavar="N", min=1, help="Updates of the large run.")] = None,
    plan: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the best into this plan, a new one from --at to --target-width."),
    ] = None,
    grid: Annotated[
        bool, typer.Option("--grid", help="All combinations of the listed values in place of samples.")
    ] = False,
    command: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            help="Search by this command in place of a target: 'python train.py --width {width} --lr {lr} --seed "
            "{seed} --steps {steps}', with a placeholder for every --hp, and {schedule} with --schedule.",
        ),
    ] = None,
    loss_file: Annotated[
        str | None, typer.Option(metavar="FILE", help="Where --command leaves its loss: a CSV or JSON file.")
    ] = None,
    loss_name: Annotated[
        str | None, typer.Option(metavar="NAME", help="What the loss is called there (default: loss, val_loss, ...).")
    ] = None,
    data: flag.Data = None,
    batch_size: flag.BatchSize = 16,
    schedule: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES", help="constant, linear or cosine; of several one is drawn (default: the target's own)."
        ),
    ] = None,
    warmup: flag.Warmup = 0,
    training_loss: flag.TrainingLoss = False,
    clip: flag.Clip = None,
    optimizer: flag.Optimizer = None,
    results: flag.Results = None,
    budget: Annotated[
        str | None, typer.Option(metavar="AMOUNT", help="Stop in time: 600 (seconds), 10m or 2h.")
    ] = None,
    ray: flag.Ray = None,
    ray_cpus: flag.RayCpus = 1.0,
    ray_gpus: flag.RayGpus = 0.0,
    device: flag.Device = "cpu",
    dtype: flag.Dtype = "fp32",
    seed: Annotated[int, typer.Option(metavar="N", help="The first seed; samples are drawn by it.")] = 0,
    width: flag.GrowingWidth = None,
    set_: flag.Set = None,
    input_: flag.Input = None,
    init: flag.Init = None,
    no_init: flag.NoInit = False,
    plot: flag.Plot = None,
    format_: Annotated[str, typer.Option("--format", metavar="NAME", help="rich or json.")] = "rich",
    output: flag.ReportFile = None,
    timeout: flag.Timeout = None,
    debug: flag.Debug = False,
) -> int:
    """Search hyperparameters on a small model. Random samples, then the best ones with other seeds and for longer."""
    check_format(format_, FORMATS)
    shared = SweepRequest(
        target=target, lr=lr, steps=steps, seeds=seeds, seed=seed, hp=tuple(hp or ()), data=data,
        batch_size=batch_size, schedule=schedule, warmup=warmup, training_loss=training_loss, clip=clip,
        optimizer=optimizer, results=results, budget=budget,
        device=device, dtype=dtype, width=tuple(width or ()), set=tuple(set_ or ()), input=tuple(input_ or ()),
        init=init, no_init=no_init, held_depth=at_depth, ray=ray, ray_cpus=ray_cpus, ray_gpus=ray_gpus,
        command=command, loss_file=loss_file, loss_name=loss_name,
    )  # fmt: skip
    request = TuneRequest(shared, at, samples, finalists, longer, target_width, target_depth, target_steps, plan, grid)
    check_tune(request)
    check_outputs([output, plot], [target, results])
    if plot is not None:
        from muaudit.training.picture import check_plot

        check_plot(plot)
    return _run(request, plot, format_, output, timeout, debug)


def _run(
    request: TuneRequest, plot: Path | None, format_: str, output: Path | None, timeout: int | None, debug: bool
) -> int:
    if request.sweep.device == "cpu":
        be_frugal()
    from muaudit.tune.tune_lines import to_json, tune_lines
    from muaudit.tune.tune_task import Tuned

    named = request.sweep.command or request.sweep.target or "the model here"
    task = Task(named, "muaudit.tune.tune_task:tuned", (request,), PRELOAD, silent=not debug)
    with run_bar() as progress:
        data = run_task(task, patience=patience(timeout), progress=progress, forward_interrupt=True)
    found = rebuilt(Tuned, data)
    if plot is not None:
        from muaudit.tune.tune_plot import plot_search

        plot_search(found, plot)
    columns = terminal_width() if output is None else None
    write(to_json(found) if format_ == "json" else to_text(tune_lines(found), columns), output)
    return 0
