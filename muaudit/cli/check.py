"""`muaudit check`: from any model to a verdict."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from muaudit.cli import flags as flag
from muaudit.cli.guard import COULD_NOT, guarded

if TYPE_CHECKING:
    from muaudit.report.findings import Run
    from muaudit.report.model import Severity


@guarded
def check(
    target: flag.Target = None,
    width: flag.Width = None,
    set_: flag.Set = None,
    input_: flag.Input = None,
    optimizer: flag.Optimizer = None,
    lr_group: flag.LrGroup = None,
    profile: flag.Profile = None,
    format_: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="NAME",
            help="rich, concise, json, jsonl, github, gitlab, sarif, junit or markdown.",
        ),
    ] = "rich",
    output: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[FORMAT=]FILE",
            help="Write the report there: instead of stdout, or with a format besides it. Repeatable.",
        ),
    ] = None,
    tensors: Annotated[bool, typer.Option("--tensors", help="Add the full table of tensors (rich format).")] = False,
    why: Annotated[
        str | None, typer.Option(metavar="NAME", help="Print the derivation for one tensor or activation instead.")
    ] = None,
    statistics: Annotated[
        bool, typer.Option("--statistics", help="Count the findings by rule instead of listing them.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Say nothing about what is clean, and leave the notes out.")
    ] = False,
    select: flag.Select = None,
    extend_select: flag.ExtendSelect = None,
    ignore: flag.Ignore = None,
    baseline: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Known findings that are not reported (muaudit baseline).")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 1 when anything could not be analysed.")] = False,
    fail_on: Annotated[
        str | None, typer.Option(metavar="SEVERITY", help="Exit 1 from here on: error (default), warning or advice.")
    ] = None,
    exit_zero: Annotated[bool, typer.Option("--exit-zero", help="Exit 0 whatever is found.")] = False,
    target_width: flag.TargetWidth = None,
    plan: flag.Plan = None,
    seed: flag.Seed = None,
    config: flag.Config = None,
    isolated: flag.Isolated = False,
    no_cache: flag.NoCache = False,
    jobs: flag.Jobs = None,
    debug: flag.Debug = False,
) -> int:
    """Report what breaks as the model widens: where, why, and the fix."""
    from muaudit.cli.outputs import parse_outputs, write_all
    from muaudit.cli.pipeline import answered, audit_all
    from muaudit.cli.request import Flags, request
    from muaudit.report.render import Look

    outputs = parse_outputs(format_, output or ())
    wanted = request(
        Flags(
            target, width or (), set_ or (), input_ or (), optimizer, lr_group or (), profile, target_width, plan,
            seed, config, isolated, select or (), extend_select or (), ignore or (),
        )
    )  # fmt: skip
    settings = wanted.settings
    failing = _severity(fail_on or settings.fail_on)
    found = audit_all(wanted, use_cache=not no_cache and why is None, processes=1 if why else jobs)
    run, _ = answered(found, wanted, baseline or settings.baseline)
    run = replace(run, strict=strict or settings.strict, fail_on=failing)
    write_all(run, outputs, Look(tensors, why, statistics, quiet))
    return _exit_code(run, exit_zero)


def _severity(text: str) -> Severity:
    from muaudit.errors import UserError
    from muaudit.report.model import SEVERITIES
    from muaudit.suggest import nearest

    for severity in SEVERITIES:
        if severity == text:
            return severity
    raise UserError(f"--fail-on expects a severity, found {text!r}", nearest(text, SEVERITIES, "severities"))


def _exit_code(run: Run, exit_zero: bool) -> int:
    """2 when a target could not be audited, whatever the others say."""
    from muaudit.cli.pipeline import say_failures

    say_failures(run)
    if run.failures:
        return COULD_NOT
    return 0 if exit_zero else max((report.exit_code(run.strict, run.fail_on) for report in run.reports), default=0)
