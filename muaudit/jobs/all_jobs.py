"""From jobs to reports: what the cache knows, and what is left in a process each."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

from muaudit.errors import BUG, UserError
from muaudit.findings.model import Report, Step
from muaudit.fixes.overlay import overlay
from muaudit.isolation import Done, InternalError, LostTarget, Task, run_tasks
from muaudit.isolation.plain_data import plain, rebuilt
from muaudit.isolation.task import AUDIT
from muaudit.jobs.cache import Cache
from muaudit.jobs.consulted import gather
from muaudit.jobs.job import Audited, Job, audit_job
from muaudit.jobs.listening import recording
from muaudit.report.listing import Failure

Outcome = Audited | Failure
PATIENCE = 1800
"""Seconds that a target may take, or a training run from one step to the next, unless something else is asked for."""


def run_jobs(
    jobs: Sequence[Job], cache: Cache | None, processes: int | None = None, timeout: float = PATIENCE
) -> list[Outcome]:
    """The outcome of every job, in order. processes: at most so many at a time; as many as there are cores if None.

    timeout: seconds that a job may take.

    Raises:
        UserError, InternalError: the only job there is could not be done. Of several, the others still are.
    """
    known = [cache.load(job) if cache else None for job in jobs]
    missing = [job for job, found in zip(jobs, known, strict=True) if found is None]
    done = iter(audited_apart(missing, processes or os.cpu_count() or 1, timeout))
    outcomes = [found or next(done) for found in known]
    for job, found, outcome in zip(jobs, known, outcomes, strict=True):
        if cache and found is None and isinstance(outcome, Audited):
            cache.store(job, outcome)
    if len(jobs) == 1 and isinstance(outcomes[0], Exception):
        raise outcomes[0]
    pairs = zip(jobs, outcomes, strict=True)
    return [_failure(job, each) if isinstance(each, Exception) else each for job, each in pairs]


def audited_apart(jobs: Sequence[Job], workers: int, timeout: float) -> list[Audited | UserError | InternalError]:
    """Every job in a process of its own."""
    # Probes are small: starting and joining threads costs more than the arithmetic. Read when torch is imported.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    tasks = [Task(job.shown, "muaudit.jobs.all_jobs:audited_data", (job,), _preload(jobs)) for job in jobs]
    return [
        _audited(job, each.data) if isinstance(each, Done) else each
        for job, each in zip(jobs, run_tasks(tasks, workers=workers, patience=timeout), strict=True)
    ]


def reports_with(jobs: Sequence[Job], texts: Mapping[str, str], timeout: float) -> list[Report | None]:
    """The reports that the jobs would get if the files held these texts; None where there would be none."""
    tasks = [Task(job.shown, "muaudit.jobs.all_jobs:edited_data", (job, dict(texts))) for job in jobs]
    outcomes = run_tasks(tasks, workers=os.cpu_count() or 1, patience=timeout)
    return [rebuilt(Report, each.data) if isinstance(each, Done) else None for each in outcomes]


def _preload(jobs: Sequence[Job]) -> tuple[str, ...]:
    """What the children share, imported once: transformers too, where several need it."""
    configs = sum(str(job.text).endswith(".json") or os.path.isdir(str(job.text)) for job in jobs)
    return (*AUDIT, "muaudit.targets.huggingface") if configs > 1 else AUDIT


def _audited(job: Job, data: Any) -> Audited | InternalError:
    try:
        return rebuilt(Audited, data)
    except ValueError as error:
        return InternalError(f"the process of {job.shown} answered with no report: {error}")


def _failure(job: Job, error: Exception) -> Failure:
    cause = error if isinstance(error, InternalError) else error.__cause__
    trace = cause.trace if isinstance(cause, InternalError) else ""
    if isinstance(error, InternalError):
        return Failure(job.shown, f"internal error: {error}\n{BUG}", trace)
    return Failure(job.shown, error.what if isinstance(error, LostTarget) else str(error), trace)


# -- in the child --------------------------------------------------------------------------------------------------
def audited_data(job: Job) -> Any:
    """`audited`, as plain data."""
    return plain(audited(job))


def edited_data(job: Job, texts: Mapping[str, str]) -> Any:
    """The report of a job whose files hold these texts, as plain data. Raises UserError."""
    with overlay(texts, ()):
        report = audit_job(job)
    return plain(replace(report, derivations={}))


def audited(job: Job) -> Audited:
    """Audit one target in this process and note what was read. Raises UserError."""
    before = frozenset(sys.modules)
    with recording() as recorder:
        report = audit_job(job)
        inputs = gather(recorder, before)
    return Audited(replace(report, name=job.name, derivations=_asked(job.why, report.derivations)), inputs)


def _asked(why: str | None, derivations: Mapping[str, tuple[Step, ...]]) -> dict[str, tuple[Step, ...]]:
    """The names that have a derivation, and that of those asked for: most are never looked at, and take their time."""
    if why is None:
        return {}
    return {name: derivations[name] if fnmatchcase(name, why) or name == why else () for name in derivations}
