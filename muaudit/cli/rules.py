"""`muaudit rules`: every rule in one line."""

from __future__ import annotations

from muaudit.cli.guard import guarded
from muaudit.cli.output import show
from muaudit.report.layout import BOLD, columns
from muaudit.report.terminal import STYLES
from muaudit.rules import RULES


@guarded
def rules() -> int:
    """List the rules: code, name, severity, summary."""
    rows = [((r.code, BOLD), r.name, (r.severity, STYLES[r.severity]), r.summary) for r in RULES]
    return show(columns([("code", "name", "severity", "rule"), *rows], hang=None))
