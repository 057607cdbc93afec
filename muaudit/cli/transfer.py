"""`muaudit transfer`: hyperparameters tuned at one width, as every tensor needs them at another."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from muaudit.cli import flags as flag
from muaudit.cli.guard import guarded
from muaudit.cli.output import terminal_width, write
from muaudit.cli.pipeline import patience
from muaudit.cli.progress import progress
from muaudit.cli.report_files import check_outputs
from muaudit.errors import UserError
from muaudit.isolation import Task, run_task
from muaudit.suggest import nearest
from muaudit.targets.options import TargetOptions, check_init, parse_inputs, parse_set, parse_widths
from muaudit.transfer.given import parse_values

FORMATS = ("table", "yaml", "json")


@guarded
def transfer(
    start: Annotated[
        int, typer.Option("--from", metavar="N", min=1, help="The width that the values hold at.", show_default=False)
    ],
    to: Annotated[int, typer.Option(metavar="N", min=1, help="The width to carry them to.", show_default=False)],
    target: Annotated[
        str | None, typer.Argument(help="As for check: the model to audit, without --plan.", show_default=False)
    ] = None,
    plan: Annotated[Path | None, typer.Option(metavar="FILE", help="The plan.yaml of muaudit convert.")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE,...", help="Hyperparameters: lr, wd, eps, beta1, ... Repeatable."),
    ] = None,
    optimizer: Annotated[
        str | None, typer.Option(metavar="NAME", help="The optimizer where the target has none (default adamw).")
    ] = None,
    width: Annotated[
        list[str] | None, typer.Option(metavar="NAME=N,N", help="Probe widths of the audit. Repeatable.")
    ] = None,
    arguments: Annotated[
        list[str] | None,
        typer.Option("--arg", metavar="KEY=VALUE", help="A constructor argument or config field. Repeatable."),
    ] = None,
    input_: Annotated[
        list[str] | None,
        typer.Option("--input", metavar="[NAME=]SPEC", help="What the forward is called with. Repeatable."),
    ] = None,
    init: flag.Init = None,
    no_init: flag.NoInit = False,
    format_: Annotated[str, typer.Option("--format", metavar="NAME", help="table, yaml or json.")] = "table",
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="Write there instead of stdout.")] = None,
    timeout: flag.Timeout = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of whatever goes wrong.")] = False,
) -> int:
    """Print every hyperparameter at another width. Tensor by tensor, upwards or downwards."""
    if format_ not in FORMATS:
        raise UserError(f"unknown format {format_!r}", nearest(format_, FORMATS, "formats"))
    if plan is not None and target is not None:
        raise UserError(f"--plan holds the exponents, and {target} would be audited for them: give one of them")
    check_outputs([output], [target, plan])
    given = parse_values(set_ or ())
    columns = terminal_width() if output is None else None
    if plan is not None:
        from muaudit.plan.file import load_plan
        from muaudit.transfer.transfer_task import text_of

        write(text_of(load_plan(plan), start, to, given, format_, columns), output)
        return 0

    check_init(init, no_init)
    widths, values, inputs = parse_widths(width or ()), parse_set(arguments or ()), parse_inputs(input_ or ())
    options = TargetOptions(widths, values, inputs, optimizer, init=init, no_init=no_init)
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # probes are small
    shown = target or "the model here"
    entry = "muaudit.transfer.transfer_task:transferred"
    task = Task(shown, entry, (target, options, start, to, given, format_, columns))
    with progress(f"auditing {shown}"):
        text = run_task(task, patience=patience(timeout))
    write(str(text), output)
    return 0
