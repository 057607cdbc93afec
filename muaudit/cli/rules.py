"""`muaudit rules`: every rule in one line."""

from __future__ import annotations

from muaudit.cli.guard import guarded
from muaudit.cli.output import show


@guarded
def rules() -> int:
    """List the rules: code, name, severity, summary."""
    from muaudit.report.layout import columns
    from muaudit.rules import RULES

    return show(
        columns([("code", "name", "severity", "rule"), *((r.code, r.name, r.severity, r.summary) for r in RULES)])
    )
