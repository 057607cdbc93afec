"""`--format markdown`: for a comment on a pull request or the summary of a step."""

from __future__ import annotations

from collections.abc import Iterator

from muaudit.findings.model import Report, Severity, target_name
from muaudit.report.listing import Finding, Run, findings
from muaudit.report.terminal import summary, verdict

_MARKS: dict[Severity, str] = {"error": "🔴", "warning": "🟡", "advice": "🔵"}


def render_markdown(run: Run) -> str:
    """A heading and a table a target; how to fix what in a folded list below it."""
    return "".join(f"{line}\n" for line in _lines(run))


def _lines(run: Run) -> Iterator[str]:
    found = findings(run)
    for number, report in enumerate(run.reports):
        if number:
            yield ""
        yield from _report(report, [finding for finding in found if finding.target == target_name(report)])
    for failure in run.failures:
        yield f"\n### {_cell(failure.target)}\n\n**could not be audited:**\n"
        yield from (f"> {line}" for line in failure.message.splitlines())


def _report(report: Report, found: list[Finding]) -> Iterator[str]:
    yield f"### {_cell(target_name(report))}\n"
    if report.caution:
        yield f"**! {_cell(report.caution)}**\n"
    yield f"**{_cell(verdict(report)[0])}**\n"
    yield f"{_cell(report.describe)} · optimizer {report.optimizer} · profile {report.profile}"
    if found:
        yield "\n| | rule | where | finding |\n|---|---|---|---|"
        yield from (_row(finding) for finding in found)
    fixes = [finding for finding in found if finding.fix]
    if fixes:
        yield "\n<details><summary>Fixes</summary>\n"
        for finding in fixes:
            yield f"- **{finding.rule}** {_where(finding)} {_cell(finding.message)}"
            yield f"  {_cell(finding.consequence)}  \n  fix: {_cell(finding.fix)}"
        yield "\n</details>"
    yield f"\n{_cell(summary(report))}"


def _row(finding: Finding) -> str:
    return (
        f"| {_MARKS[finding.severity]} {finding.severity} | {finding.rule} {finding.name} | {_where(finding)} "
        f"| {_cell(finding.message)} |"
    )


def _where(finding: Finding) -> str:
    return f"`{finding.place.path}:{finding.place.line}`" if finding.place else ""


def _cell(text: str) -> str:
    """Text that Markdown shows as it is: `*` in a pattern is no emphasis, `|` ends no cell, `<` opens no tag."""
    for character in "\\`*_[]<>|":
        text = text.replace(character, f"\\{character}")
    return " ".join(text.split())
