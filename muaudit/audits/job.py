"""One audit to be done, as plain data that another process can take over."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path

from muaudit.answers.policy import Policy
from muaudit.report.model import Report
from muaudit.target.options import TargetOptions


@dataclass(frozen=True)
class Job:
    """A target with everything that its audit depends on. `name` is that of a configured target.

    fixes: work out the source edits too, each tried by an audit of its own.
    """

    text: str | None
    options: TargetOptions = field(default_factory=TargetOptions)
    profile: str = "tp5"
    plan: Path | None = None
    target_width: int | None = None
    seed: int = 0
    name: str = ""
    policy: Policy = field(default_factory=Policy)
    fixes: bool = False

    @property
    def shown(self) -> str:
        """How messages call it."""
        return self.name or self.text or "the model here"


@dataclass(frozen=True)
class Audited:
    """A report, the user's source files that it came from, and the stamps of the packages that took part."""

    report: Report
    sources: tuple[str, ...] = ()
    packages: Mapping[str, list[int]] = field(default_factory=dict)


def audit_job(job: Job) -> Report:
    """Do it, here and now. What the user's model prints goes to stderr. Raises UserError."""
    from muaudit.parametrizations.profiles import get_profile

    profile = get_profile(job.profile)
    # Probes are small: starting and joining threads costs more than the arithmetic. Read when torch is imported.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with redirect_stdout(sys.stderr):
        from muaudit.audit import audit
        from muaudit.target import resolve

        found = resolve(job.text, job.options)
        if job.plan is not None:
            from muaudit.convert.plan import load_plan
            from muaudit.convert.planned import planned

            found = planned(found, load_plan(job.plan))
        return audit(found, profile=profile, target_width=job.target_width, seed=job.seed)


def check_profiles(jobs: Iterable[Job]) -> None:
    """Raise UserError for an unknown profile before anything slow begins."""
    from muaudit.parametrizations.profiles import get_profile

    for job in jobs:
        get_profile(job.profile)
