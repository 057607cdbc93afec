"""`muaudit transfer`: hyperparameters tuned at one width, as every tensor needs them at another."""

from __future__ import annotations

import os
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from muaudit.cli import flags as flag
from muaudit.cli.guard import guarded
from muaudit.cli.output import terminal_width, write
from muaudit.cli.outputs import check_outputs
from muaudit.cli.progress import progress
from muaudit.errors import UserError
from muaudit.suggest import nearest
from muaudit.transfer.given import parse_values

if TYPE_CHECKING:
    from muaudit.convert.plan import Plan

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
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of whatever goes wrong.")] = False,
) -> int:
    """Print every hyperparameter at another width. Tensor by tensor, upwards or downwards."""
    if format_ not in FORMATS:
        raise UserError(f"unknown format {format_!r}", nearest(format_, FORMATS, "formats"))
    if plan is not None and target is not None:
        raise UserError(f"--plan holds the exponents, and {target} would be audited for them: give one of them")
    check_outputs([output], [target, plan])
    given = parse_values(set_ or ())
    if plan is not None:
        from muaudit.convert.plan import load_plan

        found = load_plan(plan)
    else:
        with progress(f"auditing {target or 'the model here'}"), redirect_stdout(sys.stderr):
            found = _planned(target, width or [], arguments or [], input_ or [], optimizer, start, to, init, no_init)
    from muaudit.report.render import to_text
    from muaudit.transfer import show
    from muaudit.transfer.carry import carry

    done = carry(found, start, to, given)
    if format_ == "table":
        text = to_text(show.transfer_lines(done), terminal_width() if output is None else None)
    else:
        text = show.to_yaml(done) if format_ == "yaml" else show.to_json(done)
    write(text, output)
    return 0


def _planned(
    target: str | None, width: list[str], arguments: list[str], inputs: list[str], optimizer: str | None, start: int,
    to: int, init: str | None, no_init: bool,
) -> Plan:  # fmt: skip
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from muaudit.convert.planner import make_plan
    from muaudit.targets import TargetOptions, parse_inputs, parse_set, parse_widths, resolve
    from muaudit.targets.options import check_init

    check_init(init, no_init)
    options = TargetOptions(
        parse_widths(width), parse_set(arguments), parse_inputs(inputs), optimizer, init=init, no_init=no_init
    )
    return make_plan(resolve(target, options), start, to)
