"""`muaudit diagnose`: train until something goes wrong, and say what first."""

from __future__ import annotations

from typing import Annotated

import typer

from muaudit.cli import flags as flag
from muaudit.cli.guard import guarded
from muaudit.cli.pipeline import patience
from muaudit.cli.progress import bar
from muaudit.cli.report_files import check_outputs
from muaudit.cli.request import Flags
from muaudit.cli.write_answer import write_answer
from muaudit.diagnose.diagnose_settings import DiagnoseSettings, check_diagnose
from muaudit.isolation import Task, run_task
from muaudit.isolation.task import AUDIT
from muaudit.suggest import check_format

FORMATS = ("rich", "json")
PRELOAD = (*AUDIT, "muaudit.diagnose.diagnose_task")


@guarded
def diagnose(
    target: flag.Target = None,
    width: Annotated[
        int | None,
        typer.Option("--width", "--from", metavar="N", min=2, help="The width that goes wrong."),
    ] = None,
    to: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="The small width to reproduce it at (default: a probe's).")
    ] = None,
    steps: Annotated[int, typer.Option(metavar="N", min=1, help="Updates to take at most.")] = 100,
    lr: Annotated[
        float | None, typer.Option(metavar="RATE", help="Largest learning rate there; other groups keep their ratio.")
    ] = None,
    precision: Annotated[
        str, typer.Option(metavar="NAME", help="fp16 or bf16: count what over- and underflows in it, too.")
    ] = "",
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of the initialization and of dropout.")] = 0,
    device: flag.Device = "cpu",
    dtype: flag.Dtype = "fp32",
    optimizer: flag.Optimizer = None,
    optimizer_kind: flag.OptimizerKind = None,
    set_: flag.Set = None,
    input_: flag.Input = None,
    init: flag.Init = None,
    no_init: flag.NoInit = False,
    format_: Annotated[str, typer.Option("--format", metavar="NAME", help="rich or json.")] = "rich",
    output: flag.ReportFile = None,
    timeout: flag.Timeout = None,
    debug: flag.Debug = False,
) -> int:
    """Train until something goes wrong, and say what first. Names what lets it, and reproduces it in a small model."""
    check_format(format_, FORMATS)
    settings = check_diagnose(DiagnoseSettings(steps, seed, device, dtype, precision))
    check_outputs([output], [target])
    options = Flags(
        target, (), set_ or (), input_ or (), optimizer, optimizer_kind=optimizer_kind or (), init=init, no_init=no_init
    ).options()
    name = target or "the model here"
    task = Task(name, "muaudit.diagnose.diagnose_task:diagnosed", (target, options, width, to, lr, settings), PRELOAD)
    with bar(f"training {name}", 2 * (steps + 1)) as advance:
        taken = 0

        def told(done: int, total: int) -> None:
            nonlocal taken
            advance(done - taken)
            taken = done

        found = run_task(task, patience=patience(timeout), progress=told)
    return write_answer(found, format_, output)
