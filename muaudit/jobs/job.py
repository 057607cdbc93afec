"""One audit to be done, as plain data that another process can take over."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from muaudit.answers.policy import Policy
from muaudit.findings.model import Report
from muaudit.fixes.safe_edits import verified
from muaudit.jobs.consulted import Consulted
from muaudit.parametrizations.profile_file import get_profile
from muaudit.parametrizations.profiles import TP5, Profile
from muaudit.targets import resolve
from muaudit.targets.options import TargetOptions
from muaudit.targets.usercode import seed_everything

if TYPE_CHECKING:
    from muaudit.plan.plan import Plan
    from muaudit.targets import Target


AXES = ("width", "depth")


@dataclass(frozen=True)
class Job:
    """A target with everything that its audit depends on. `name` is that of a configured target.

    fixes: work out the source edits too, each tried by an audit of its own. base_width: where these change nothing.
    why: the name whose derivation is asked for. axis: what grows, one of `AXES`.
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
    base_width: int | None = None
    why: str | None = None
    axis: str = "width"

    def with_base(self, arguments: Mapping[str, int | None]) -> Job:
        """The same job with these arguments of the model, which its edits have made."""
        return replace(self, options=replace(self.options, set={**self.options.set, **arguments}))

    @property
    def shown(self) -> str:
        """How messages call it."""
        return self.name or self.text or "the model here"


@dataclass(frozen=True)
class Audited:
    """A report, and everything that it came from. cached: whether it was done before."""

    report: Report
    inputs: Consulted = field(default_factory=Consulted)
    cached: bool = False

    @property
    def sources(self) -> tuple[str, ...]:
        """The user's own files that were read."""
        return self.inputs.sources()


def audit_job(job: Job) -> Report:
    """Do it, here and now. What the user's model prints goes to stderr. Raises UserError."""
    # Probes are small: starting and joining threads costs more than the arithmetic. Read when torch is imported.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with redirect_stdout(sys.stderr):
        before = set(sys.modules)
        target, report = _audited(job)
        if not job.fixes or job.axis != "width":
            return report
        from muaudit.fixes.known_base import known_base
        from muaudit.fixes.propose import propose

        fixes = propose(report, target, job.base_width or known_base(target, job.options.bsh, job.plan))
        tried = job.with_base({fix.argument: fix.base for fix in fixes.values() if fix.argument})
        return verified(report, fixes, lambda: _audited(tried)[1], set(sys.modules) - before)


def _audited(job: Job) -> tuple[Target, Report]:
    seed_everything(job.seed)  # what the user's modules draw while they are imported is the same each time
    profile = get_profile(job.profile)
    target = resolve(job.text, job.options)
    return audit_target(target, profile, job.seed, job.axis, job.target_width, job.options.bsh, job.plan)


def audit_target(
    target: Target, profile: Profile, seed: int, axis: str = "width", target_width: int | None = None,
    bsh: Path | None = None, plan: Plan | Path | None = None,
) -> tuple[Target, Report]:  # fmt: skip
    """The target as it was audited, converted where there is a plan, and the report. Raises UserError.

    bsh: is compared with the target first. The others are those of a `Job`.
    """
    from muaudit.audit import audit

    if bsh is not None:
        from muaudit.targets.base_shapes import base_of

        base_of(bsh, target)
    if plan is not None:
        from muaudit.plan.file import load_plan
        from muaudit.plan.planned import planned

        target = planned(target, load_plan(plan) if isinstance(plan, Path) else plan)
    if axis == "depth":
        from muaudit.audit.over_depth import audit_over_depth

        school = get_profile("completep") if profile == TP5 else profile
        return target, audit_over_depth(target, profile=school, seed=seed)
    return target, audit(target, profile=profile, target_width=target_width, seed=seed)


def check_profiles(jobs: Iterable[Job]) -> None:
    """Raise UserError for an unknown profile before anything slow begins."""
    for job in jobs:
        get_profile(job.profile)
