"""`--format github`: annotations on the lines of a pull request, and a summary of the step.

Workflow commands, https://docs.github.com/actions/reference/workflow-commands. GitHub shows ten errors, ten warnings
and ten notices a step, so the worst come first.
"""

from __future__ import annotations

from collections.abc import Iterator

from muaudit.findings.model import Severity
from muaudit.report.listing import Finding, Run, findings

_LEVELS: dict[Severity, str] = {"error": "error", "warning": "warning", "advice": "notice"}


def render_github(run: Run) -> str:
    """One workflow command a line."""
    return "".join(f"{line}\n" for line in _lines(run))


def _lines(run: Run) -> Iterator[str]:
    for failure in run.failures:
        yield f"::error title={_property(f'muaudit: {failure.target}')}::{_data(failure.message)}"
    for finding in findings(run):
        yield f"::{_LEVELS[finding.severity]} {_properties(finding)}::{_data(_message(finding))}"


def _properties(finding: Finding) -> str:
    pairs = {"title": f"{finding.rule} {finding.name}"}
    if finding.place:
        at = finding.place
        pairs = {"file": at.path, "line": str(at.line), "endLine": str(at.line), **pairs}
    return ",".join(f"{name}={_property(value)}" for name, value in pairs.items())


def _message(finding: Finding) -> str:
    parts = (finding.message, finding.consequence, f"fix: {finding.fix}" if finding.fix else "")
    return "\n".join(part for part in parts if part)


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
