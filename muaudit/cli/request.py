"""From flags and configuration to the audits to run: flags beat the file, a named target its own section."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from muaudit.answers.policy import Policy, prefixes
from muaudit.errors import UserError
from muaudit.jobs.job import AXES, Job, check_profiles
from muaudit.parametrizations.profiles import PROFILES, TP5
from muaudit.settings import Configured, Settings, load_settings
from muaudit.settings.load import merged
from muaudit.suggest import nearest
from muaudit.targets.options import (
    TargetOptions,
    check_init,
    parse_depths,
    parse_inputs,
    parse_lr_groups,
    parse_optimizer_kinds,
    parse_set,
    parse_widths,
)


@dataclass(frozen=True)
class Flags:
    """What was given on the command line; None or empty where it was not."""

    target: str | None = None
    width: Sequence[str] = ()
    set: Sequence[str] = ()
    input: Sequence[str] = ()
    optimizer: str | None = None
    lr_group: Sequence[str] = ()
    optimizer_kind: Sequence[str] = field(default=(), kw_only=True)
    profile: str | None = None
    target_width: int | None = None
    plan: Path | None = None
    seed: int | None = None
    config: Path | None = None
    isolated: bool = False
    select: Sequence[str] = ()
    extend_select: Sequence[str] = ()
    ignore: Sequence[str] = ()
    fixes: bool = False
    base_width: int | None = None
    bsh: Path | None = None
    why: str | None = None
    init: str | None = None
    no_init: bool = False
    depth: Sequence[str] = ()
    axis: str | None = None

    def options(self) -> TargetOptions:
        """How the target is probed. Raises UserError for a malformed flag."""
        check_init(self.init, self.no_init)
        return TargetOptions(
            widths=parse_widths(self.width),
            set=parse_set(self.set),
            inputs=parse_inputs(self.input),
            optimizer=self.optimizer,
            lr_groups=parse_lr_groups(self.lr_group),
            optimizer_kinds=parse_optimizer_kinds(self.optimizer_kind),
            bsh=self.bsh,
            init=self.init,
            no_init=self.no_init,
            depths=parse_depths(self.depth),
        )


@dataclass(frozen=True)
class Request:
    """The settings that count, and a job for every target.

    complete: no configured target was left out. whole: and there are some, so that these are all there are.
    """

    settings: Settings
    jobs: tuple[Job, ...]
    complete: bool = True
    whole: bool = False

    @property
    def files(self) -> list[str | Path | None]:
        """The targets and files that were named, each as it was given."""
        named = [[job.text, job.plan, job.options.bsh, job.profile] for job in self.jobs]
        return [self.settings.file, *(each for job in named for each in job)]


def request(flags: Flags) -> Request:
    """What to audit: the configured target of that name, all of them without a name, else TARGET as it stands.

    Raises:
        UserError: a malformed flag or configuration, an unknown rule or profile.
    """
    options = flags.options()
    settings = load_settings(Path.cwd(), flags.config, flags.isolated)
    known, text = settings.targets, flags.target
    named = text in known and not (text and Path(text).exists())
    chosen = [known[text]] if named and text else list(known.values()) if text is None else []
    if not chosen:
        _check_name(text, settings)
        chosen = [Configured("", text or "", policy=settings.policy, profile=settings.profile,
                             axes=settings.axes)]  # fmt: skip
    jobs = tuple(_job(each, options, flags, axis) for each in chosen for axis in _axes(each, flags))
    check_profiles(jobs)
    return Request(settings, jobs, complete=text is None or not known, whole=text is None and bool(known))


def _check_name(text: str | None, settings: Settings) -> None:
    """A bare word that is neither a file nor a configured target is a misspelt name of one."""
    if text is None or not settings.targets or Path(text).exists() or any(c in text for c in "./:\\"):
        return
    raise UserError(f"no configured target is called {text!r}", nearest(text, settings.targets, "targets"))


def _axes(target: Configured, flags: Flags) -> tuple[str, ...]:
    """What grows in the audits of a target: the flag's axes, else the configured ones, else the width.

    Raises:
        UserError: something else than width and depth.
    """
    named = flags.axis.split(",") if flags.axis is not None else target.axes
    found = tuple(dict.fromkeys(each.strip() for each in named if each.strip()))
    for each in found:
        if each not in AXES:
            raise UserError(f"no axis is called {each!r}", nearest(each, AXES, "axes"))
    return found or AXES[:1]


def _job(target: Configured, options: TargetOptions, flags: Flags, axis: str) -> Job:
    return Job(
        axis=axis,
        text=target.target or None,
        options=merged(target.options, options),
        profile=flags.profile or _profile_of(flags.plan or target.plan) or target.profile or "tp5",
        plan=flags.plan or target.plan,
        target_width=flags.target_width or target.target_width,
        seed=target.seed if flags.seed is None else flags.seed,
        name=target.name,
        policy=_policy(target.policy, flags),
        fixes=flags.fixes,
        base_width=flags.base_width,
        why=flags.why,
    )


def _profile_of(plan: Path | None) -> str | None:
    """The school that a plan was made by, where it is not the default; a model is judged by the same."""
    if plan is None:
        return None
    from muaudit.plan.file import load_plan

    with suppress(UserError):  # the audit reads it again, and says so
        name = load_plan(plan).profile
        return name if name in PROFILES and name != TP5.name else None
    return None


def _policy(policy: Policy, flags: Flags) -> Policy:
    selected = _selectors(flags.select)
    return replace(
        policy,
        select=selected or policy.select,
        extend_select=policy.extend_select + _selectors(flags.extend_select),
        ignore=policy.ignore + _selectors(flags.ignore),
    )


def _selectors(texts: Sequence[str]) -> tuple[str, ...]:
    return prefixes([part for text in texts for part in text.split(",") if part.strip()])
