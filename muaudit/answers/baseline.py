"""The baseline: findings that were there when muaudit was taken up, and are not reported until they get worse.

A JSON file (`muaudit.baseline/1`) with one entry a line, keyed by target, rule and subject (the tensor; the module
where no tensor is to blame), never by file or line.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isinf, isnan
from pathlib import Path
from typing import Any

from muaudit.answers.narrow import without
from muaudit.answers.policy import Policy
from muaudit.errors import UserError
from muaudit.findings.model import SEVERITIES, Answered, Report, Severity, Violation, subjects, target_name
from muaudit.locations import shown_path
from muaudit.reading import INDEX, Unreadable, parse_json, read_text
from muaudit.release import __version__
from muaudit.rules import get_rule
from muaudit.rules.all_rules import looked_for

SCHEMA = "muaudit.baseline/1"
DEFAULT_NAME = "muaudit-baseline.json"
_TOLERANCE = 0.05  # in powers of width: exponents of measured initializations move a little
_ZERO = 99.0  # the size of a finding about a zero initialization

Key = tuple[str, str, str]


@dataclass(frozen=True)
class KnownFinding:
    """One known finding. size: by how many powers of width it is off; file: where its target was, for renames."""

    target: str
    rule: str
    subject: str
    severity: Severity
    size: float
    file: str = ""

    @property
    def key(self) -> Key:
        """What it is known by."""
        return self.target, self.rule, self.subject

    def excuses(self, violation: Violation) -> bool:
        """Whether a finding is no worse than this one."""
        rank = SEVERITIES.index
        return rank(violation.severity) >= rank(self.severity) and size_of(violation) <= self.size + _TOLERANCE


@dataclass(frozen=True)
class Compared:
    """The reports without what the baseline knows, and its entries: found, stale, and of what was not looked at.

    Found entries of a renamed target carry its new name.
    """

    reports: tuple[Report, ...]
    found: tuple[KnownFinding, ...]
    stale: tuple[KnownFinding, ...]
    others: tuple[KnownFinding, ...]


def size_of(violation: Violation) -> float:
    """By how many powers of width it is off."""
    off = abs((violation.expected_exponent or 0.0) - (violation.found_exponent or 0.0))
    return _ZERO if isinf(off) or isnan(off) else round(off, 4)


def entries_of(reports: Iterable[Report], folder: Path) -> list[KnownFinding]:
    """An entry for every finding and tensor; of several with one key the worst."""
    found: dict[Key, KnownFinding] = {}
    for report in reports:
        for violation in report.violations:
            if get_rule(violation.rule).channel == "answer":
                continue
            for subject in subjects(violation):
                entry = KnownFinding(
                    target_name(report), violation.rule, subject, violation.severity, size_of(violation),
                    _file(report, folder),
                )  # fmt: skip
                other = found.get(entry.key)
                found[entry.key] = entry if other is None or other.size < entry.size else other
    return sorted(found.values(), key=lambda entry: entry.key)


def compare(
    reports: Sequence[Report], policies: Sequence[Policy], entries: Sequence[KnownFinding], folder: Path, whole: bool
) -> Compared:
    """Set the known findings aside. whole: these are all targets there are, so entries of others are stale.

    A target that is not in the baseline takes over the entries of one whose file is gone: it was renamed.
    """
    moved = _renamed(reports, entries, folder)
    by_key = {(moved.get(entry.target, entry.target), entry.rule, entry.subject): entry for entry in entries}
    seen: set[Key] = set()
    out = tuple(_known(report, by_key, seen) for report in reports)
    audited = {target_name(report): policy for report, policy in zip(reports, policies, strict=True)}
    axes: dict[str, set[str]] = {}
    for report in reports:
        axes.setdefault(target_name(report), set()).add(report.axis)
    found, stale, others = [], [], []
    for key, entry in by_key.items():
        policy = audited.get(key[0])
        gone = bool(entry.file) and not (folder / entry.file).exists()
        if key in seen:
            found.append(replace(entry, target=key[0]))
        elif policy.reports(entry.rule) and looked_for(entry.rule, axes[key[0]]) if policy else whole or gone:
            stale.append(entry)
        else:
            others.append(entry)
    return Compared(out, tuple(found), tuple(stale), tuple(others))


def load_baseline(path: Path) -> list[KnownFinding]:
    """The entries of a file. Raises UserError where there is none, or it is something else."""
    try:
        data = parse_json(read_text(path, most=INDEX))
        if data["schema"] != SCHEMA:
            raise ValueError(f"its schema is {data['schema']!r}")
        return [_entry(each) for each in data["entries"]]
    except Unreadable as error:
        name = shown_path(str(path))
        if error.absent:
            raise UserError(f"no baseline {name}", f"muaudit baseline --baseline {name} writes it") from None
        raise Unreadable(name, error.why, "delete it, and muaudit baseline writes a new one") from None
    except (ValueError, KeyError, TypeError) as error:
        hint = f"expected {SCHEMA}; delete it, and muaudit baseline writes a new one"
        raise UserError(f"{shown_path(str(path))} is not a baseline of this version: {error}", hint) from None


def baseline_text(entries: Iterable[KnownFinding]) -> str:
    """The file: one entry a line, in a fixed order, so that branches merge."""
    rows = ",\n".join("    " + json.dumps(vars(each)) for each in sorted(entries, key=lambda e: e.key))
    body = f"\n{rows}\n  " if rows else ""
    head = f'{{\n  "schema": "{SCHEMA}",\n  "version": "{__version__}",\n'
    return f'{head}  "entries": [{body}]\n}}\n'


def _known(report: Report, entries: Mapping[Key, KnownFinding], seen: set[Key]) -> Report:
    kept: list[Violation] = []
    gone: list[Answered] = []
    name = target_name(report)
    for violation in report.violations:
        keys = {subject: (name, violation.rule, subject) for subject in subjects(violation)}
        seen |= set(keys.values()) & set(entries)
        excused = {s for s, key in keys.items() if key in entries and entries[key].excuses(violation)}
        rest, known = without(violation, excused)
        kept += [rest] if rest else []
        gone += [Answered(known, "baseline")] if known else []
    return replace(report, violations=tuple(kept), answered=(*report.answered, *gone))


def _renamed(reports: Sequence[Report], entries: Sequence[KnownFinding], folder: Path) -> dict[str, str]:
    """From the old name of a target to its new one."""
    named = {entry.target for entry in entries}
    lost = {e.target for e in entries if e.file and not (folder / e.file).exists()} - set(map(target_name, reports))
    moved: dict[str, str] = {}
    for report in reports:
        if target_name(report) in named:
            continue
        keys = {(violation.rule, subject) for violation in report.violations for subject in subjects(violation)}
        common = {t: sum((e.rule, e.subject) in keys for e in entries if e.target == t) for t in lost - set(moved)}
        best = max(sorted(common), key=lambda t: common[t], default=None)
        if best is not None and common[best]:
            moved[best] = target_name(report)
    return moved


def _file(report: Report, folder: Path) -> str:
    if report.path is None:
        return ""
    path = Path(report.path)
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else report.path


def _entry(data: Mapping[str, Any]) -> KnownFinding:
    entry = KnownFinding(**data)
    texts = (entry.target, entry.rule, entry.subject, entry.file)
    sound = all(isinstance(each, str) for each in texts) and isinstance(entry.severity, str)
    sound = sound and isinstance(entry.size, int | float) and math.isfinite(entry.size)
    if not sound or entry.severity not in SEVERITIES:
        raise ValueError(f"{data} is no entry")
    return entry
