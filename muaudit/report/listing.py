"""All findings of one run in one list, for the formats that know files and severities rather than tensors."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from muaudit.findings.model import (
    SEVERITIES,
    Answered,
    Report,
    Severity,
    SourceFix,
    Unanalysed,
    Violation,
    subjects,
    target_name,
)
from muaudit.locations import location, relative
from muaudit.report.repository_places import Place, place
from muaudit.rules import get_rule


@dataclass(frozen=True)
class Failure:
    """A target that could not be audited, and why. trace: the traceback, for those who ask for it."""

    target: str
    message: str
    trace: str = ""


@dataclass(frozen=True)
class Run:
    """What one command found: a report for every target that could be audited. `root` is the repository's folder."""

    reports: tuple[Report, ...]
    root: Path
    failures: tuple[Failure, ...] = ()
    strict: bool = False
    fail_on: Severity = "error"
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Finding:
    """A violation, or something not analysed. fingerprint: the same as long as rule, target and subject are."""

    rule: str
    name: str
    severity: Severity
    message: str
    target: str
    place: Place | None
    fingerprint: str
    subjects: tuple[str, ...] = ()
    consequence: str = ""
    fix: str = ""
    size: float = 0.0
    source_fix: SourceFix | None = None
    answered: Answered | None = None
    analysed: bool = True
    detail: tuple[str, ...] = field(default=())


def findings(run: Run, answered: bool = False) -> list[Finding]:
    """Worst first over all targets: by severity, then by how many powers of width are missing.

    answered: those that the user answered as well, at the end.
    """
    seen: Counter[str] = Counter()
    found = [each for report in run.reports for each in _of_report(report, run, seen)]
    found.sort(key=lambda f: (SEVERITIES.index(f.severity), -f.size))
    if answered:
        for report in run.reports:
            found += [_of_violation(report, a.violation, run.root, seen, a) for a in report.answered]
    return found


def _of_report(report: Report, run: Run, seen: Counter[str]) -> Iterator[Finding]:
    for violation in report.violations:
        yield _of_violation(report, violation, run.root, seen)
    for item in report.unanalysed:
        yield _of_unanalysed(report, item, run, seen)


def _of_violation(
    report: Report, v: Violation, root: Path, seen: Counter[str], answered: Answered | None = None
) -> Finding:
    size = abs((v.expected_exponent or 0.0) - (v.found_exponent or 0.0))
    return Finding(
        v.rule, v.name, v.severity, _outside(v.message, v.file, v.line, root), target_name(report),
        place(report, v.file, v.line, root), _fingerprint(seen, v.rule, report, (v.pattern or v.module, *subjects(v))),
        subjects(v), v.consequence, v.fix, size, v.source_fix, answered,
        detail=(f"{v.found} → {v.expected}",) if v.found != v.expected else (),
    )  # fmt: skip


def _of_unanalysed(report: Report, item: Unanalysed, run: Run, seen: Counter[str]) -> Finding:
    message = _outside(f"not analysed: {item.name}: {item.reason}", item.file, item.line, run.root)
    return Finding(
        item.rule, get_rule(item.rule).name, "error" if run.strict else "advice", message, target_name(report),
        place(report, item.file, item.line, run.root), _fingerprint(seen, item.rule, report, (item.name,)),
        (item.name,), analysed=False,
    )  # fmt: skip


def _outside(message: str, file: str | None, line: int | None, root: Path) -> str:
    """The message, with the finding's own line where that is not in the repository."""
    return message if not file or relative(file, root) else f"{message} (at {location(file, line)})"


def _fingerprint(seen: Counter[str], rule: str, report: Report, parts: Iterable[str]) -> str:
    """32 hexadecimal digits of rule, target and subject, never of lines; repeated ones are numbered."""
    text = "\0".join((rule, target_name(report), *parts))
    seen[text] += 1
    number = f"\0{seen[text]}" if seen[text] > 1 else ""
    return hashlib.sha256((text + number).encode()).hexdigest()[:32]
