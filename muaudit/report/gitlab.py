"""`--format gitlab`: a code quality report, https://docs.gitlab.com/ci/testing/code_quality/#code-quality-report-format."""

from __future__ import annotations

import json
from typing import Any

from muaudit.findings.model import Severity
from muaudit.report.listing import Finding, Run, findings

_SEVERITIES: dict[Severity, str] = {"error": "major", "warning": "minor", "advice": "info"}


def render_gitlab(run: Run) -> str:
    """A JSON array; GitLab tells findings apart by their fingerprints alone, so these are unique."""
    return json.dumps([_issue(finding) for finding in findings(run)], indent=2) + "\n"


def _issue(finding: Finding) -> dict[str, Any]:
    # A finding without a place in the repository still needs one here.
    path, line = (finding.place.path, finding.place.line) if finding.place else (finding.target, 1)
    return {
        "description": f"{finding.rule} {finding.name}: {finding.message}",
        "check_name": finding.rule,
        "fingerprint": finding.fingerprint,
        "severity": _SEVERITIES[finding.severity],
        "location": {"path": path, "lines": {"begin": line}},
    }
