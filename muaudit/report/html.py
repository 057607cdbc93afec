"""`--format html`: one page that needs no network, to look at, to keep and to send to a colleague.

Everything that comes from the user's code is escaped by the template engine; scripts and styles are the page's own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from muaudit.findings.model import Report, Step, TensorRow, Violation, target_name
from muaudit.fixes.edited import diff_text
from muaudit.locations import excerpt, location
from muaudit.page.html_document import Section, Style, section, whole_page
from muaudit.report.flow_graph import flow_graph
from muaudit.report.folding import folded_unanalysed
from muaudit.report.listing import Run
from muaudit.report.module_map import module_map, state_words
from muaudit.report.tensors import alike, label
from muaudit.report.terminal import next_steps, summary, verdict
from muaudit.rules import get_rule

_STYLES: dict[str, Style] = {"✓": "good", "!": "warning", "?": "unknown"}
_WORST: tuple[Style, ...] = ("error", "unknown", "warning", "good")
_WIDER = 10  # doublings of the first probe that the slider of widths goes up to


@dataclass(frozen=True)
class _Row:
    """A row of the table of tensors. off: which of init, multiplier and lr a finding is about."""

    name: str
    row: TensorRow
    off: frozenset[str]
    steps: tuple[Step, ...]


def render_html(run: Run) -> str:
    """The page: a section for every target, then those that could not be audited."""
    sections = audit_sections(run)
    return whole_page(", ".join(target_name(report) for report in run.reports) or "muaudit", sections)


def audit_sections(run: Run) -> list[Section]:
    """A section for every target, with a switch where it was audited along several axes, then those that failed."""
    targets: list[dict[str, tuple[Report, Section]]] = []  # of each axis
    for number, report in enumerate(run.reports, 1):
        made = report, audit_section(report, f"target-{number}", run.root)
        before = targets[-1] if targets else {}
        first = next((each for each, _ in before.values()), None)
        if first is None or target_name(first) != target_name(report) or report.axis in before:
            targets.append({report.axis: made})
        else:
            before[report.axis] = made
    found = [_of_axes(list(each.values())) for each in targets]
    for number, failure in enumerate(run.failures, 1):
        found.append(section("failure.html", f"failure-{number}", failure.target, "unknown", failure=failure))
    return found


def _of_axes(parts: list[tuple[Report, Section]]) -> Section:
    """The reports of one target along all axes, one of them to be seen."""
    first = parts[0][1]
    if len(parts) == 1:
        return first
    style = min((made.style for _, made in parts), key=_WORST.index)
    shown = [(report.axis, made, verdict(report)[0]) for report, made in parts]
    return section("axes.html", f"{first.id}-axes", first.title, style, parts=shown)


def audit_section(report: Report, name: str, root: Path) -> Section:
    """One target's. root: where the paths of source edits start."""
    said = verdict(report)[0]
    return section(
        "audit.html", name, target_name(report), _STYLES.get(said[:1], "error"), report=report, verdict=said,
        summary=summary(report), findings=[_finding(violation, report, root) for violation in report.violations],
        unanalysed=folded_unanalysed(report.unanalysed, False), map=module_map(report),
        graph=flow_graph(report), rows=list(_rows(report)),
        first=report.probes[0] if report.probes else 0, widths=_WIDER, words=state_words(report),
        to_do=list(next_steps(report)),
    )  # fmt: skip


def _finding(violation: Violation, report: Report, root: Path) -> dict[str, Any]:
    fix = violation.source_fix
    steps = next((report.derivations[name] for name in violation.tensors if name in report.derivations), ())
    return {
        "violation": violation,
        "where": location(violation.file, violation.line),
        "made": location(*violation.edited_at),
        "source": [(row, text, row == violation.line) for row, text in excerpt(violation.file, violation.line)],
        "steps": steps,
        "summary": get_rule(violation.rule).summary,
        "diff": [(line, _kind(line)) for line in diff_text([fix], root).splitlines()] if fix is not None else [],
        "edit": fix,
    }


def _kind(line: str) -> str:
    return {"+": "added", "-": "removed", "@": "place"}.get(line[:1], "")


def _rows(report: Report) -> Iterator[_Row]:
    off = {
        (name, aspect)
        for violation in report.violations
        for name in violation.tensors
        for aspect in _aspects(violation)
    }
    for row, names in alike(report.tensors).items():
        marks = frozenset(aspect for aspect in ("init", "multiplier", "lr") if (names[0], aspect) in off)
        yield _Row(label(row.name, names), row, marks, tuple(report.derivations.get(names[0], ())))


def _aspects(violation: Violation) -> Iterable[str]:
    """Which columns of the table a finding is about, by the hundreds of its rule."""
    return {"MUP1": ("init",), "MUP2": ("multiplier",), "MUP3": ("lr",)}.get(violation.rule[:4], ())
