"""`muaudit check`: from any model to a verdict."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from muaudit.cli import complete
from muaudit.cli import flags as flag
from muaudit.cli.guard import COULD_NOT, guarded
from muaudit.cli.output import say, terminal_width, write
from muaudit.cli.pipeline import answered, audit_all, say_failures
from muaudit.cli.read_axis import read_axis
from muaudit.cli.repair import diff_of, make_fixes
from muaudit.cli.report_files import check_outputs, parse_outputs, write_all
from muaudit.cli.request import Flags, request
from muaudit.errors import UserError
from muaudit.findings.model import SEVERITIES
from muaudit.report.layout import coloured, diff_lines
from muaudit.report.listing import Failure
from muaudit.report.render import DERIVING, Look
from muaudit.suggest import nearest

if TYPE_CHECKING:
    from muaudit.findings.model import Severity
    from muaudit.jobs import Audited
    from muaudit.report.listing import Failure, Run


@guarded
def check(
    target: flag.Target = None,
    width: flag.Width = None,
    depth: flag.Depth = None,
    axis: flag.Axis = None,
    set_: flag.Set = None,
    input_: flag.Input = None,
    optimizer: flag.Optimizer = None,
    lr_group: flag.LrGroup = None,
    optimizer_kind: flag.OptimizerKind = None,
    init: flag.Init = None,
    no_init: flag.NoInit = False,
    profile: flag.Profile = None,
    format_: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="NAME",
            help="rich, concise, json, jsonl, github, gitlab, sarif, junit, markdown or html.",
            autocompletion=complete.formats,
        ),
    ] = "rich",
    output: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[FORMAT=]FILE",
            help="Write the report there: instead of stdout, or with a format besides it. Repeatable.",
            autocompletion=complete.outputs,
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
        str | None,
        typer.Option(
            metavar="SEVERITY",
            help="Exit 1 from here on: error (default), warning or advice.",
            autocompletion=complete.severities,
        ),
    ] = None,
    fix: Annotated[
        bool, typer.Option("--fix", help="Edit the source where that is safe: the edited file audits clean.")
    ] = False,
    diff: Annotated[bool, typer.Option("--diff", help="Print what --fix would edit, and write nothing.")] = False,
    show_fixes: Annotated[
        bool, typer.Option("--show-fixes", help="Show with each finding what --fix would edit.")
    ] = False,
    base_width: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="The width at which edits change nothing (default: the model's own)."),
    ] = None,
    exit_zero: Annotated[bool, typer.Option("--exit-zero", help="Exit 0 whatever is found.")] = False,
    target_width: flag.TargetWidth = None,
    plan: flag.Plan = None,
    bsh: flag.Bsh = None,
    seed: flag.Seed = None,
    config: flag.Config = None,
    isolated: flag.Isolated = False,
    no_cache: flag.NoCache = False,
    jobs: flag.Jobs = None,
    timeout: flag.Timeout = None,
    verbose: flag.Verbose = False,
    debug: flag.Debug = False,
) -> int:
    """Report what breaks as the model widens, and the fix. Each finding has its line, its cause and its consequence."""
    outputs = parse_outputs(format_, output or ())
    asked = "*" if any(each.style in DERIVING for each in outputs) else why
    flags = Flags(
        target, width or (), set_ or (), input_ or (), optimizer, lr_group or (), profile, target_width, plan,
        seed, config, isolated, select or (), extend_select or (), ignore or (),
        fix or diff or show_fixes or any(each.style == "sarif" for each in outputs), base_width, bsh, asked,
        init=init, no_init=no_init, optimizer_kind=optimizer_kind or (), depth=depth or (),
        axis=axis,
    )  # fmt: skip
    if axis is not None and "=" in axis:
        return read_axis(axis, flags, format_, output, timeout)
    wanted = request(flags)
    settings = wanted.settings
    if diff and output:
        raise UserError("--diff prints a patch and writes nothing, so --output has nothing to write", "leave one out")
    places = [each.path for each in outputs]
    check_outputs(places, [*wanted.files, baseline or settings.baseline])
    failing = _severity(fail_on or settings.fail_on)

    def find() -> tuple[Run, list[Audited | Failure]]:
        done = audit_all(
            wanted, use_cache=not no_cache and asked is None, processes=jobs, timeout=timeout, verbose=verbose
        )
        found, _ = answered(done, wanted, baseline or settings.baseline)
        return replace(found, strict=strict or settings.strict, fail_on=failing), done

    run, done = find()
    check_outputs(places, [file for each in done if not isinstance(each, Failure) for file in each.sources])
    if fix and not diff and make_fixes(run, wanted, done, timeout):
        run, _ = find()
    if diff:
        _show_diff(diff_of(run), run)
    else:
        write_all(run, outputs, Look(tensors, why, statistics, quiet, show_fixes))
    return _exit_code(run, exit_zero, debug)


def _show_diff(diff: str, run: Run) -> None:
    """The patch on stdout, coloured on a terminal; where there is none, why not."""
    if diff:
        width = terminal_width()
        write(diff if width is None else coloured(diff_lines(diff), width))
    elif any(report.violations for report in run.reports):
        say("no edit of the source is known that mends these findings: muaudit convert leaves the code alone")
    elif run.reports:
        say("nothing to mend")


def _severity(text: str) -> Severity:
    for severity in SEVERITIES:
        if severity == text:
            return severity
    raise UserError(f"--fail-on expects a severity, found {text!r}", nearest(text, SEVERITIES, "severities"))


def _exit_code(run: Run, exit_zero: bool, debug: bool) -> int:
    """2 when a target could not be audited, whatever the others say."""
    say_failures(run, debug)
    if run.failures:
        return COULD_NOT
    return 0 if exit_zero else max((report.exit_code(run.strict, run.fail_on) for report in run.reports), default=0)
