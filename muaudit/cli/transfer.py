"""`muaudit transfer`: hyperparameters tuned at one size, as every tensor needs them at another."""

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
from muaudit.report.render import to_text
from muaudit.suggest import check_format
from muaudit.targets.options import TargetOptions, check_init, parse_inputs, parse_set, parse_widths
from muaudit.transfer.asked import Asked
from muaudit.transfer.followed import audit_pair, followed_data, followed_lines
from muaudit.transfer.given import parse_values
from muaudit.transfer.horizon import carry_over
from muaudit.transfer.run_config import parse_names
from muaudit.transfer.run_size import check_pair, parse_size

FORMATS = ("table", "yaml", "json", "plan")


@guarded
def transfer(
    target: Annotated[
        str | None, typer.Argument(help="As for check: the model to audit, without --plan.", show_default=False)
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="SIZE",
            help="What the values hold at: a width, or width=256,depth=4,batch=0.5M,tokens=2.5B.",
            show_default=False,
        ),
    ] = None,
    to: Annotated[
        str | None, typer.Option(metavar="SIZE", help="What to carry them to, alike.", show_default=False)
    ] = None,
    plan: Annotated[Path | None, typer.Option(metavar="FILE", help="The plan.yaml of muaudit convert.")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE,...", help="Hyperparameters: lr, wd, eps, beta1, ... Repeatable."),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="What batch and duration change: complete-dp, power-lines, timescale or sgd.",
            show_default=False,
        ),
    ] = None,
    audit: Annotated[
        tuple[Path, Path] | None,
        typer.Option(
            metavar="SMALL LARGE",
            help="Hold two configurations of runs (YAML or JSON) against --recipe, in place of --from and --to.",
            show_default=False,
        ),
    ] = None,
    names: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=KEY,...", help="What --audit's files call a setting: lr=optimizer.peak_lr."),
    ] = None,
    optimizer: flag.Optimizer = None,
    width: Annotated[
        list[str] | None, typer.Option(metavar="NAME=N,N", help="Probe widths of the audit. Repeatable.")
    ] = None,
    arguments: Annotated[
        list[str] | None,
        typer.Option("--arg", metavar="KEY=VALUE", help="A constructor argument or config field. Repeatable."),
    ] = None,
    input_: flag.Input = None,
    init: flag.Init = None,
    no_init: flag.NoInit = False,
    format_: Annotated[
        str, typer.Option("--format", metavar="NAME", help="table, yaml, json or plan: what convert --plan takes.")
    ] = "table",
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="Write there instead of stdout.")] = None,
    timeout: flag.Timeout = None,
    debug: flag.Debug = False,
) -> int:
    """Print every hyperparameter at another size. Width, depth, batch, duration; tensor by tensor, up or down."""
    check_format(format_, FORMATS)
    if plan is not None and target is not None:
        raise UserError(f"--plan holds the exponents, and {target} would be audited for them: give one of them")
    check_outputs([output], [target, plan])
    if audit is not None:
        _refuse_beside_audit(target, plan, start, to, set_)
        return _audited(audit, parse_names(names or ()), recipe, optimizer, format_, output)
    if start is None or to is None:
        missing = "--from" if start is None else "--to"
        raise UserError(f"{missing} is missing", "for example --from 256 --to 8192; or --audit small.yaml large.yaml")
    sizes = parse_size(start, "--from"), parse_size(to, "--to")
    check_pair(*sizes)
    columns = terminal_width() if output is None else None
    asked = Asked(*sizes, parse_values(set_ or ()), recipe, format_, columns)
    carry_over(*sizes, asked.given, recipe, optimizer)  # what it refuses is said before anything is audited
    no_model = target is None and asked.start.width is None and asked.start.depth is None
    if plan is not None or no_model:
        from muaudit.plan.file import load_plan
        from muaudit.transfer.transfer_task import text_of, without_model

        made = without_model(optimizer, recipe) if plan is None else load_plan(plan)
        write(text_of(made, asked), output)
        return 0

    check_init(init, no_init)
    widths, values, inputs = parse_widths(width or ()), parse_set(arguments or ()), parse_inputs(input_ or ())
    options = TargetOptions(widths, values, inputs, optimizer, init=init, no_init=no_init)
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # probes are small
    shown = target or "the model here"
    entry = "muaudit.transfer.transfer_task:transferred"
    task = Task(shown, entry, (target, options, asked))
    with progress(f"auditing {shown}"):
        text = run_task(task, patience=patience(timeout))
    write(str(text), output)
    return 0


def _refuse_beside_audit(*given: object) -> None:
    if any(given):
        hint = "leave out the target, --plan, --from, --to and --set"
        raise UserError("--audit takes sizes and values from its two files", hint)


def _audited(
    paths: tuple[Path, Path], names: dict[str, str], recipe: str | None, optimizer: str | None, format_: str,
    output: Path | None,
) -> int:  # fmt: skip
    found = audit_pair(paths, names, recipe, optimizer)
    if format_ == "table":
        text = to_text(followed_lines(found), terminal_width() if output is None else None)
    else:
        text = followed_data(found)  # JSON is YAML
    write(text, output)
    return 0 if found.ok else 1
