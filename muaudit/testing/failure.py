"""When a report fails a test, and what is said then."""

from __future__ import annotations

from muaudit.errors import UserError
from muaudit.findings.model import SEVERITIES, Report, Severity
from muaudit.report.layout import plain
from muaudit.report.terminal import report_lines
from muaudit.suggest import nearest


def failure(report: Report, fail_on: Severity, strict: bool) -> str:
    """The report as text where it fails, empty where it passes. Raises UserError for an unknown severity."""
    if fail_on not in SEVERITIES:
        raise UserError(
            f"fail_on expects a severity, found {fail_on!r}", nearest(str(fail_on), SEVERITIES, "severities")
        )
    if not report.exit_code(strict, fail_on):
        return ""
    return plain(report_lines(report, strict=strict, quiet=True)).rstrip()
