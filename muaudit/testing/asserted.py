"""The audits behind `assert_mup`: of functions, and of targets by name with what the configuration says of them."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from muaudit.answers.answered import apply_answers
from muaudit.answers.policy import Policy, prefixes
from muaudit.cli.pipeline import answered
from muaudit.cli.request import Flags, request
from muaudit.errors import UserError
from muaudit.findings.model import Report
from muaudit.jobs import run_jobs
from muaudit.parametrizations.profiles import Profile

if TYPE_CHECKING:
    from torch import nn


def audited_functions(
    build: Callable[..., nn.Module], functions: Mapping[str, Any], profile: Profile | str | None, seed: int,
    target_width: int | None, select: Sequence[str], ignore: Sequence[str],
) -> Report:  # fmt: skip
    """The report of the model that functions build, less what comments in its source answer."""
    from muaudit.audit import check

    policy = Policy(select=prefixes(select) or Policy().select, ignore=prefixes(ignore))
    report = check(build, **functions, profile=profile or "tp5", seed=seed, target_width=target_width)
    return apply_answers([report], [policy], _files(report), complete=False)[0]


def audited_target(
    text: str, functions: Mapping[str, Any], profile: Profile | str | None, seed: int, target_width: int | None,
    select: Sequence[str], ignore: Sequence[str],
) -> Report:  # fmt: skip
    """The report of a target by name, as `muaudit check` has it."""
    given = [name for name, value in functions.items() if value is not None]
    if given or isinstance(profile, Profile):
        wrong = ", ".join(given) or "a Profile object"
        raise UserError(
            f"assert_mup({text!r}) takes no {wrong}: a target says so itself",
            "pass a function build(width) instead, or write these functions into the target's file",
        )
    flags = Flags(
        text, profile=profile, seed=seed or None, target_width=target_width, select=list(select), ignore=list(ignore)
    )
    wanted = request(flags)
    run, _ = answered(
        run_jobs(wanted.jobs, cache=None, timeout=wanted.settings.timeout), wanted, wanted.settings.baseline
    )
    return run.reports[0]


def _files(report: Report) -> list[str]:
    """The files of the user's that the report speaks of."""
    places = [report.class_file, *(row.file for row in report.tensors), *(row.defined_file for row in report.tensors)]
    places += [violation.file for violation in report.violations]
    return list(dict.fromkeys(file for file in places if file and Path(file).is_file()))


@contextmanager
def same_random_state() -> Iterator[None]:
    """Put the generators of torch, random and numpy (where it is imported) back as they were."""
    import torch

    numpy = sys.modules.get("numpy")
    before = random.getstate(), numpy.random.get_state() if numpy else None
    with torch.random.fork_rng(devices=[]):
        try:
            yield
        finally:
            random.setstate(before[0])
            if numpy is not None and before[1] is not None:
                numpy.random.set_state(before[1])
