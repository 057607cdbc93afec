"""What check and baseline have in common: audit, then set aside what the user has answered."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from muaudit.answers.answered import apply_answers, apply_baseline
from muaudit.answers.policy import Policy
from muaudit.cli.output import say
from muaudit.cli.progress import progress
from muaudit.cli.request import Request
from muaudit.isolation import links
from muaudit.jobs import Audited, Job, run_jobs
from muaudit.jobs.cache import Cache
from muaudit.locations import repository_root
from muaudit.report.listing import Failure, Run
from muaudit.settings import load_settings
from muaudit.visible import visible


def patience(timeout: int | None, config: Path | None = None, isolated: bool = False) -> int:
    """The seconds that were asked for, else the configured ones. Raises UserError for a faulty configuration."""
    return timeout or load_settings(Path.cwd(), config, isolated).timeout


def audit_all(
    wanted: Request, use_cache: bool, processes: int | None, timeout: int | None = None, verbose: bool = False
) -> list[Audited | Failure]:
    """Every audit of a request, the unchanged ones from the cache. timeout: seconds, for the configured ones.

    verbose: say on stderr what the cache did, and show all that the code prints.
    """
    links.SHOW_ALL = verbose
    cache = Cache.here() if use_cache and wanted.settings.cache else None
    with progress(f"auditing {', '.join(job.shown for job in wanted.jobs)}"):
        found = run_jobs(wanted.jobs, cache, processes, timeout or wanted.settings.timeout)
    if cache and verbose:
        for job, each in zip(wanted.jobs, found, strict=True):
            if isinstance(each, Audited):
                _say_kept(job, each)
    return found


def _say_kept(job: Job, audited: Audited) -> None:
    if audited.cached:
        say(f"{job.shown}: unchanged, from the cache")
    for reason in audited.inputs.unseen:
        say(f"{job.shown}: not kept in the cache: {reason}")


def answered(
    found: Sequence[Audited | Failure], wanted: Request, baseline: Path | None = None
) -> tuple[Run, tuple[Policy, ...]]:
    """The run as it is reported, and the policy of every report. Raises UserError for a baseline that is none."""
    done = [(each, job.policy) for each, job in zip(found, wanted.jobs, strict=True) if isinstance(each, Audited)]
    policies = tuple(policy for _, policy in done)
    sources = list(dict.fromkeys(file for each, _ in done for file in each.sources))
    failures = tuple(each for each in found if isinstance(each, Failure))
    complete = wanted.complete and not failures
    reports = apply_answers([each.report for each, _ in done], policies, sources, complete)
    if baseline is not None:
        reports = apply_baseline(reports, policies, baseline, wanted.whole and not failures)
    return Run(reports, repository_root(Path.cwd()), failures), policies


def say_failures(run: Run, debug: bool = False) -> None:
    """Which targets could not be audited, on stderr."""
    for failure in run.failures:
        if debug:
            print(visible(failure.trace), end="", file=sys.stderr)
        say(f"error: {failure.target}: {failure.message}")
