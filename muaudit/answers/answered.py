"""All answers in their order: what is selected, comments in the source, the baseline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from muaudit.answers.baseline import KnownFinding, compare, load_baseline
from muaudit.answers.comments import read_comments
from muaudit.answers.policy import Policy, apply_policy
from muaudit.answers.source_comments import apply_comments
from muaudit.findings.model import Report, Violation
from muaudit.rules import get_rule


def apply_answers(
    reports: Sequence[Report], policies: Sequence[Policy], sources: Sequence[str], complete: bool
) -> tuple[Report, ...]:
    """The reports without what configuration and comments answer.

    sources: the files whose comments count. complete: no configured target was left out.
    """
    chosen = [apply_policy(report, policy) for report, policy in zip(reports, policies, strict=True)]
    return apply_comments(chosen, policies, read_comments(sources), complete)


def apply_baseline(
    reports: Sequence[Report], policies: Sequence[Policy], file: Path, whole: bool
) -> tuple[Report, ...]:
    """The reports without what the baseline knows; its stale entries are findings of the first report."""
    file = file.absolute()
    compared = compare(reports, policies, load_baseline(file), file.parent, whole)
    if not reports or not policies[0].reports("MUP604"):
        return compared.reports
    first, *others = compared.reports
    stale = tuple(_stale(entry, file) for entry in compared.stale)
    return replace(first, violations=(*first.violations, *stale)), *others


def _stale(entry: KnownFinding, file: Path) -> Violation:
    rule = get_rule("MUP604")
    message = f"{entry.target}: {entry.rule} for {entry.subject} is in the baseline and was not found"
    return Violation(
        rule.code, rule.name, rule.severity, message, str(file), 1, (), "", "", rule.fix_text,
        module=f"{entry.target} {entry.rule} {entry.subject}",
    )  # fmt: skip
