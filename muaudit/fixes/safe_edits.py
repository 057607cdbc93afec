"""Which edits are safe: with them the audit finds nothing new, and no more what they were made for."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace

from ..errors import UserError
from ..findings.model import Report, SourceFix, Violation, subjects
from .edited import edited
from .overlay import overlay

Key = tuple[str, str]
Audit = Callable[[], Report]


def verified(report: Report, fixes: Mapping[Violation, SourceFix], audit: Audit, fresh: Collection[str] = ()) -> Report:
    """The report with the fixes that hold. All are tried together, and only if that fails one after the other.
    Those that have no edits ask for a base width, and stay as they are.

    audit: does the audit again; it runs with the edits in place of the files. fresh: modules it must import anew.
    """
    asking = {violation: fix for violation, fix in fixes.items() if not fix.edits}
    fixes = {violation: fix for violation, fix in fixes.items() if fix.edits}
    holding = dict(fixes) if fixes and _holds(report, fixes, audit, fresh) else {}
    if fixes and not holding:
        for violation, fix in fixes.items():
            more = {**holding, violation: fix}
            if _holds(report, more, audit, fresh):
                holding = more
    shown = asking | {violation: replace(fix, verified=True) for violation, fix in holding.items()}
    found = tuple(replace(v, source_fix=shown[v]) if v in shown else v for v in report.violations)
    return replace(report, violations=found)


def _holds(report: Report, fixes: Mapping[Violation, SourceFix], audit: Audit, fresh: Collection[str]) -> bool:
    try:
        texts = edited(fixes.values())
        with overlay(texts, fresh):
            after = audit()
    except (UserError, ValueError, SyntaxError):
        return False
    was, now = keys(report.violations), keys(after.violations)
    new = keys([v for v in after.violations if v.severity != "advice"]) - was  # a clean model gets advice of its own
    lost = {item.name for item in after.unanalysed} - {item.name for item in report.unanalysed}
    return not new and not (now & keys(fixes)) and not lost


def keys(violations: Collection[Violation]) -> set[Key]:
    """(rule, subject) of every finding."""
    return {(violation.rule, subject) for violation in violations for subject in subjects(violation)}
