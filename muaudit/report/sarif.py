"""`--format sarif`: SARIF 2.1.0 (https://docs.oasis-open.org/sarif/sarif/v2.1.0/) with what code scanning reads."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from muaudit.findings.model import Severity, SourceEdit, SourceFix
from muaudit.locations import relative
from muaudit.release import __version__
from muaudit.report.listing import Failure, Finding, Run, findings
from muaudit.report.repository_places import Place
from muaudit.rules import RULES, Rule

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
FINGERPRINT = "muaudit/v1"
_ROOT = "%SRCROOT%"
_LEVELS: dict[Severity, str] = {"error": "error", "warning": "warning", "advice": "note"}
_INDEX = {rule.code: index for index, rule in enumerate(RULES)}


def render_sarif(run: Run) -> str:
    """One run with all targets. Findings that the user answered are there too, as suppressed results."""
    return json.dumps(to_sarif(run), indent=2, allow_nan=False) + "\n"


def to_sarif(run: Run) -> dict[str, Any]:
    """The log as plain data."""
    driver = {
        "name": "muaudit",
        "version": __version__,
        "semanticVersion": __version__,
        "rules": [_rule(rule) for rule in RULES],
    }
    one = {
        "tool": {"driver": driver},
        "automationDetails": {"id": "muaudit/"},
        "columnKind": "unicodeCodePoints",
        "originalUriBaseIds": {_ROOT: {"description": {"text": "the root of the repository"}}},
        "invocations": [_invocation(run)],
        "results": [_result(finding, run.root) for finding in findings(run, answered=True)],
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [one]}


def _rule(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.code,
        "name": "".join(part.capitalize() for part in rule.name.split("-")),
        "shortDescription": {"text": _sentence(rule.summary)},
        "fullDescription": {"text": _paragraph(rule.doc)},
        "help": {"text": rule.doc, "markdown": rule.doc},
        "defaultConfiguration": {"level": _LEVELS[rule.severity]},
        "properties": {
            "tags": ["mup", "hyperparameter-transfer", _AREAS[rule.code[3]]],
            "precision": "high",
            "problem.severity": "recommendation" if rule.severity == "advice" else rule.severity,
        },
    }


_AREAS = {
    "1": "initialization", "2": "multipliers", "3": "learning-rates", "4": "structure", "5": "advice", "6": "answers",
    "7": "depth", "9": "not-analysed",
}  # fmt: skip


def _invocation(run: Run) -> dict[str, Any]:
    notes = [_notification(failure) for failure in run.failures]
    return {"executionSuccessful": not notes, **({"toolExecutionNotifications": notes} if notes else {})}


def _notification(failure: Failure) -> dict[str, Any]:
    return {"level": "error", "message": {"text": f"{failure.target}: {failure.message}"}}


def _result(finding: Finding, root: Path) -> dict[str, Any]:
    text = _sentence(finding.message)
    text += "".join(f"\n{_sentence(part)}" for part in (finding.consequence,) if part)
    text += f"\nFix: {finding.fix}" if finding.fix else ""
    result: dict[str, Any] = {
        "ruleId": finding.rule,
        "ruleIndex": _INDEX[finding.rule],
        "level": _LEVELS[finding.severity],
        "message": {"text": text},
        "locations": [_location(finding.place, finding.subjects)] if finding.place else [],
        "partialFingerprints": {FINGERPRINT: finding.fingerprint},
        "properties": {"target": finding.target, "tensors": list(finding.subjects)},
    }
    fix = finding.source_fix and _fix(finding.source_fix, root)
    if fix:
        result["fixes"] = [fix]
    if finding.answered:
        kind = "inSource" if finding.answered.by == "source" else "external"
        why = finding.answered.reason or f"answered in the {finding.answered.by}"
        # No `status`: the published schema calls it `state`, the specification `status`; without one it is accepted.
        result["suppressions"] = [{"kind": kind, "justification": why}]
    return result


def _location(place: Place, subjects: Iterable[str]) -> dict[str, Any]:
    region = {
        "startLine": place.line, "startColumn": place.column, "endLine": place.line, "endColumn": place.end_column,
    }  # fmt: skip
    return {
        "physicalLocation": {"artifactLocation": _artifact(place.path), "region": region},
        "logicalLocations": [{"fullyQualifiedName": name, "kind": "member"} for name in subjects],
    }


def _artifact(path: str) -> dict[str, str]:
    return {"uri": quote(path), "uriBaseId": _ROOT}


def _fix(fix: SourceFix, root: Path) -> dict[str, Any] | None:
    changes: dict[str, list[dict[str, Any]]] = {}
    for edit in fix.edits:
        path = relative(edit.file, root)
        if path is None:
            return None
        changes.setdefault(path, []).append(_replacement(edit))
    return (
        None
        if not changes
        else {
            "description": {"text": fix.summary},
            "artifactChanges": [
                {"artifactLocation": _artifact(path), "replacements": replacements}
                for path, replacements in changes.items()
            ],
        }
    )


def _replacement(edit: SourceEdit) -> dict[str, Any]:
    region = {
        "startLine": edit.line, "startColumn": edit.column + 1, "endLine": edit.end_line,
        "endColumn": edit.end_column + 1,
    }  # fmt: skip
    return {"deletedRegion": region, "insertedContent": {"text": edit.text}}


def _paragraph(doc: str) -> str:
    """The first paragraph of a rule's `What it does`, on one line."""
    body = doc.partition("## What it does\n")[2] or doc
    return " ".join(body.partition("\n\n")[0].split())


def _sentence(text: str) -> str:
    text = " ".join(text.split())
    return text if text.endswith((".", "!", "?")) else f"{text}."
