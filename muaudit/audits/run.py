"""From jobs to reports: what the cache knows, what is left in this process, and several in parallel ones."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import replace

from muaudit.audits.cache import Cache
from muaudit.audits.environment import watched
from muaudit.audits.job import Audited, Job, audit_job
from muaudit.audits.sources import opened, packages, user_files, user_modules
from muaudit.errors import UserError
from muaudit.report.findings import Failure

Outcome = Audited | Failure


def run_jobs(jobs: Sequence[Job], cache: Cache | None, processes: int | None = None) -> list[Outcome]:
    """The outcome of every job, in order. processes: at most so many at a time; as many as there are cores if None.

    Raises:
        UserError: the only job there is could not be done. Of several, the others still are.
    """
    known = [cache.load(job) if cache else None for job in jobs]
    missing = [job for job, found in zip(jobs, known, strict=True) if found is None]
    workers = min(len(missing), processes or os.cpu_count() or 1)
    done = iter(_in_processes(missing, workers) if workers > 1 else _here(missing, single=len(jobs) == 1))
    outcomes = [found or next(done) for found in known]
    for job, found, outcome in zip(jobs, known, outcomes, strict=True):
        if cache and found is None and isinstance(outcome, Audited):
            cache.store(job, outcome)
    return outcomes


def audited(job: Job) -> Audited:
    """Audit one target in this process and note what was read. Raises UserError."""
    before = set(sys.modules)
    with watched() as lookups, opened() as read:
        report = audit_job(job)
    modules = tuple(name for name, _ in user_modules() if name not in before)
    named = replace(report, name=job.name)
    return Audited(named, user_files(read.files), packages(), modules, tuple(sorted(lookups.asked)))


def _here(jobs: Sequence[Job], single: bool) -> list[Outcome]:
    return [audited(job) if single else _outcome(job) for job in jobs]


def _outcome(job: Job) -> Outcome:
    try:
        return audited(job)
    except UserError as error:
        return Failure(job.shown, str(error))


def _in_processes(jobs: Sequence[Job], workers: int) -> list[Outcome]:
    """Every job in a process of its own kind: torch does not survive a fork, so they start afresh."""
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool
    from multiprocessing import get_context

    outcomes: list[Outcome] = []
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for job, future in [(job, pool.submit(_work, job)) for job in jobs]:
            try:
                outcomes.append(future.result())
            except BrokenProcessPool:
                outcomes.append(Failure(job.shown, "the process that audited it died: out of memory, or a crash"))
    return outcomes


def _work(job: Job) -> Outcome:
    """In a worker: derivations hold the recorded graph, and stay there."""
    outcome = _outcome(job)
    if isinstance(outcome, Failure):
        return outcome
    return replace(outcome, report=replace(outcome.report, derivations={}))
