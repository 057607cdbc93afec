"""`muaudit draw`: the modules of a model as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from muaudit.cli import flags as flag
from muaudit.cli.guard import COULD_NOT, guarded
from muaudit.cli.output import say
from muaudit.cli.pipeline import answered, audit_all, say_failures
from muaudit.cli.report_files import check_outputs
from muaudit.cli.request import Flags, request
from muaudit.errors import UserError
from muaudit.report.module_picture import draw_modules


@guarded
def draw(
    target: flag.Target = None,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The picture: png, svg or pdf.")] = Path("model.svg"),
    everything: Annotated[
        bool, typer.Option("--all", help="Open every module, those in which nothing is wrong too.")
    ] = False,
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
    plan: flag.Plan = None,
    config: flag.Config = None,
    isolated: flag.Isolated = False,
    timeout: flag.Timeout = None,
    debug: flag.Debug = False,
) -> int:
    """Draw the modules of a model in the order of the data flow. Colours tell what happens to each as width grows."""
    wanted = request(
        Flags(
            target, width or (), set_ or (), input_ or (), optimizer, profile=profile, plan=plan, config=config,
            isolated=isolated, init=init, no_init=no_init, optimizer_kind=optimizer_kind or (), depth=depth or (),
            axis=axis,
        )
    )  # fmt: skip
    if len(wanted.jobs) > 1:
        names = ", ".join(job.shown for job in wanted.jobs)
        raise UserError(f"one picture is of one audit, found several: {names}", "name one target, and one --axis")
    check_outputs([out], wanted.files)
    from muaudit.training.picture import check_plot

    check_plot(out, "--out")
    run, _ = answered(audit_all(wanted, True, None, timeout), wanted)
    say_failures(run, debug)
    if not run.reports:
        return COULD_NOT
    draw_modules(run.reports[0], out, everything)
    say(f"wrote {out}")
    return 0
