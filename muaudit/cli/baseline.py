"""`muaudit baseline`: write down what is there, so that only what is new is reported."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from muaudit.answers.baseline import DEFAULT_NAME, baseline_text, compare, entries_of, load_baseline
from muaudit.cli import flags as flag
from muaudit.cli.guard import COULD_NOT, guarded
from muaudit.cli.output import write
from muaudit.cli.pipeline import answered, audit_all, say_failures
from muaudit.cli.request import Flags, request
from muaudit.writing import check_writable

ELSEWHERE = "--baseline FILE names another place"


@guarded
def baseline(
    target: flag.Target = None,
    width: flag.Width = None,
    set_: flag.Set = None,
    input_: flag.Input = None,
    optimizer: flag.Optimizer = None,
    lr_group: flag.LrGroup = None,
    optimizer_kind: flag.OptimizerKind = None,
    init: flag.Init = None,
    no_init: flag.NoInit = False,
    profile: flag.Profile = None,
    file: Annotated[
        Path | None,
        typer.Option("--baseline", metavar="FILE", help="Default: the configured one, else muaudit-baseline.json."),
    ] = None,
    prune: Annotated[bool, typer.Option("--prune", help="Only take out what is stale; add nothing.")] = False,
    config: flag.Config = None,
    isolated: flag.Isolated = False,
    no_cache: flag.NoCache = False,
    jobs: flag.Jobs = None,
    timeout: flag.Timeout = None,
    verbose: flag.Verbose = False,
    debug: flag.Debug = False,
) -> int:
    """Write down the findings there are. From then on `check --baseline FILE` reports the others only."""
    wanted = request(
        Flags(
            target, width or (), set_ or (), input_ or (), optimizer, lr_group or (), profile,
            config=config, isolated=isolated, init=init, no_init=no_init, optimizer_kind=optimizer_kind or (),
        )
    )  # fmt: skip
    home = wanted.settings.file.parent if wanted.settings.file else Path.cwd()
    path = (file or wanted.settings.baseline or home / DEFAULT_NAME).absolute()
    check_writable([path], ELSEWHERE)
    run, policies = answered(audit_all(wanted, not no_cache, jobs, timeout, verbose), wanted)
    if run.failures:
        say_failures(run, debug)
        return COULD_NOT
    old = load_baseline(path) if path.exists() or prune else []
    compared = compare(run.reports, policies, old, path.parent, whole=wanted.whole)
    now = entries_of(run.reports, path.parent)
    kept = list(compared.found) if prune else now
    known = {entry.key for entry in compared.found}
    added = sum(entry.key not in known for entry in kept)
    entries = [*compared.others, *kept]
    write(baseline_text(entries), path, ELSEWHERE)
    noun = "entry" if len(entries) == 1 else "entries"
    counts = f"({added} new, {len(compared.stale)} pruned)"
    write(f"{path.name}: {len(entries)} {noun}, one for each rule and tensor {counts}\n")
    return 0
