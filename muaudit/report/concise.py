"""`--format concise`: one line a finding, `file:line: CODE message`, for editors and logs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from muaudit.findings.model import Report, Step
from muaudit.locations import location


def render_concise(report: Report, derivation: Iterable[Step] | None = None) -> str:
    """The findings, then what was not analysed; with a derivation, its steps instead."""
    lines = _findings(report) if derivation is None else _steps(derivation)
    return "".join(f"{line}\n" for line in lines)


def _findings(report: Report) -> Iterator[str]:
    for v in report.violations:
        yield _one_line(f"{location(v.file, v.line) or report.target}: {v.rule} {v.message}")
    for u in report.unanalysed:
        yield _one_line(f"{location(u.file, u.line) or report.target}: {u.rule} not analysed: {u.name}: {u.reason}")


def _steps(steps: Iterable[Step]) -> Iterator[str]:
    for step in steps:
        where = location(step.file, step.line)
        yield f"{where + ': ' if where else ''}{step.op}: {step.result} [{step.rule}]"


def _one_line(text: str) -> str:
    return " ".join(text.splitlines())
