"""`--format jsonl`: one JSON object a line, for streams: every finding, then a summary of every target."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from muaudit.findings.model import target_name
from muaudit.report.listing import Finding, Run, findings


def render_jsonl(run: Run) -> str:
    """Lines of `type` finding, failure and summary."""
    return "".join(json.dumps(line, allow_nan=False) + "\n" for line in _lines(run))


def _lines(run: Run) -> Iterator[dict[str, Any]]:
    for finding in findings(run):
        yield _finding(finding)
    for failure in run.failures:
        yield {"type": "failure", "target": failure.target, "message": failure.message}
    for report in run.reports:
        counts = {name: report.count(severity) for name, severity in _COUNTS}
        yield {
            "type": "summary", "target": target_name(report), "verdict": report.verdict, **counts,
            "unanalysed": len(report.unanalysed), "answered": len(report.answered),
            "coverage": vars(report.coverage), "caution": report.caution,
        }  # fmt: skip


_COUNTS: tuple[tuple[str, Any], ...] = (("errors", "error"), ("warnings", "warning"), ("advice", "advice"))


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "type": "finding",
        "target": finding.target,
        "rule": finding.rule,
        "name": finding.name,
        "severity": finding.severity,
        "message": finding.message,
        "path": finding.place.path if finding.place else None,
        "line": finding.place.line if finding.place else None,
        "subjects": list(finding.subjects),
        "consequence": finding.consequence,
        "fix": finding.fix,
        "fingerprint": finding.fingerprint,
    }
