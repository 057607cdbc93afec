"""`--format rich`: the report for people, on a terminal or through a pipe."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path

from muaudit.findings.model import Report, Severity, SourceFix, Step, Unanalysed, Violation
from muaudit.fixes.editable import editable
from muaudit.fixes.edited import diff_text
from muaudit.locations import excerpt, location
from muaudit.report.folding import folded, folded_unanalysed, others
from muaudit.report.layout import ADVICE, BOLD, CODE, DIM, ERROR, GOOD, WARNING, Line, Span, diff_lines, line, next_line
from muaudit.report.tensors import tensor_table

STYLES: dict[Severity, str] = {"error": ERROR, "warning": WARNING, "advice": ADVICE}


def report_lines(
    report: Report, tensors: bool = False, strict: bool = False, quiet: bool = False, root: Path | None = None,
    room: int | None = None,
) -> Iterator[Line]:  # fmt: skip
    """Header, verdict, violations worst first, what was not analysed, notes, summary.

    tensors: with the table of tensors, and nothing folded.
    quiet: without the notes. root: show source edits, with paths from there. room: the terminal's width.
    """
    yield line(*([(f"{report.name}: ", BOLD)] if report.name else []), (report.describe, BOLD), hang=2)
    yield line((f"optimizer {report.optimizer} ({report.optimizer_source}) · profile {report.profile}", DIM), hang=2)
    yield Line()
    if report.caution:
        yield line((f"! {report.caution}", WARNING), hang=2)
    yield line(verdict(report), hang=2)
    for violation, more in folded(report.violations, tensors):
        yield Line()
        yield from _violation(violation, more)
        if root is not None and violation.source_fix is not None:
            yield from _edits(violation.source_fix, root)
    if report.unanalysed:
        yield Line()
        yield from _unanalysed(folded_unanalysed(report.unanalysed, tensors), strict)
    if tensors:
        yield Line()
        yield from tensor_table(report.tensors, room, report.symbol)
    if report.notes and not quiet:
        yield Line()
        yield from (line((f"note: {note}", DIM), hang=6) for note in report.notes)
    yield Line()
    yield line(summary(report), hang=2)
    if not quiet:
        yield next_line(*next_steps(report))


def verdict(report: Report) -> Span:
    """The answer in one line."""
    errors, warnings = report.count("error"), report.count("warning")
    if report.axis != "width":
        return _over_depth(report, errors, warnings)
    if report.verdict == "standard" and errors:
        return "✗ standard parametrization (SP): hyperparameters will not transfer", ERROR
    if errors:
        return f"✗ not µP: {_count(errors, 'error')}, hyperparameters will not transfer", ERROR
    if report.verdict == "unknown" and (report.unanalysed or not report.answered):
        return f"? no verdict, which is not a pass: {_unknown(report)}", WARNING
    if warnings:
        return f"! µP, with {_count(warnings, 'warning')}", WARNING
    if _only_answered(report):
        return f"✓ nothing new: {_answers(report)}", GOOD
    if unread := _unread(report):
        return f"✓ µP: all scales that could be judged follow the width as they must ({unread} not analysed)", GOOD
    return "✓ µP: all scales follow the width as they must", GOOD


def _over_depth(report: Report, errors: int, warnings: int) -> Span:
    """The answer along the axis of depth."""
    if report.verdict == "standard" and errors:
        return "✗ depth is ignored (SP): hyperparameters will not transfer over depth", ERROR
    if errors:
        return f"✗ not right over depth: {_count(errors, 'error')}, hyperparameters will not transfer over it", ERROR
    if report.verdict == "unknown" and (report.unanalysed or not report.answered):
        return f"? no verdict over depth, which is not a pass: {_unknown(report)}", WARNING
    if warnings:
        return f"! right over depth, with {_count(warnings, 'warning')}", WARNING
    if _only_answered(report):
        return f"✓ nothing new over depth: {_answers(report)}", GOOD
    if unread := _unread(report):
        return f"✓ all scales that could be judged follow the depth as they must ({unread} not analysed)", GOOD
    return "✓ all scales follow the depth as they must", GOOD


def _only_answered(report: Report) -> bool:
    """Whether there are errors, all of them set aside."""
    return any(a.violation.severity == "error" for a in report.answered)


def _unread(report: Report) -> int:
    """How much is not analysed, told or set aside."""
    return len(report.unanalysed) + sum(a.violation.rule.startswith("MUP9") for a in report.answered)


def summary(report: Report) -> str:
    """`5 errors, 0 warnings, 1 advice · 17 of 18 tensors judged (99 % of the elements)`."""
    counts = f"{_count(report.count('error'), 'error')}, {_count(report.count('warning'), 'warning')}"
    counts += f", {report.count('advice')} advice"
    if report.unanalysed:
        counts += f", {len(report.unanalysed)} not analysed"
    if report.answered:
        counts += f", {_answers(report)}"
    return counts + (f" · {judged(report)}" if report.tensors else "")


def next_steps(report: Report) -> Iterator[str]:
    """What can be done about the findings: edits of the source, a conversion beside it, reading on.

    Without an error, what shows that it holds in training.
    """
    if mended := sum(map(editable, report.violations)):
        yield f"--diff shows edits for up to {mended} of these, --fix makes them"
    over_depth = report.axis == "depth"
    if report.count("error"):
        yield f"muaudit convert{' --base-depth N' if over_depth else ''} leaves the code alone"
    told = [each.rule for each in report.violations] + [each.rule for each in report.unanalysed]
    if told:
        yield f"muaudit explain {told[0]} says why"
    elif set_aside := [each.violation.rule for each in report.answered]:
        yield f"muaudit explain {set_aside[0]} says why it was a finding"
    if not report.count("error"):
        yield f"muaudit coord-check{' --depths 2,4,8,16' if over_depth else ''} measures it in training"


def judged(report: Report) -> str:
    """`18 of 18 tensors judged, 17 of them grow (99 % of the elements)`: those that could be analysed."""
    covered = report.coverage
    unknown = {item.name for item in report.unanalysed}
    known = sum(bool(row.roles) and row.name not in unknown for row in report.tensors)
    share = 100 * covered.judged_elements / max(1, covered.elements)
    grow = f", {covered.judged} of them grow" if covered.judged < known else ""
    # rounded down, so that 100 % means all
    return f"{known} of {covered.tensors} tensors judged{grow} ({math.floor(share)} % of the elements)"


def derivation_lines(name: str, steps: Iterable[Step]) -> Iterator[Line]:
    """How the exponents of one tensor or activation come about, step by step."""
    yield line((name, BOLD))
    for number, step in enumerate(steps, 1):
        where = location(step.file, step.line)
        yield line(f"{number:>3}. ", (step.op, BOLD), (f"  {where}" if where else "", DIM), hang=5)
        yield line("→ ", step.result, indent=5, hang=2)
        if step.rule:
            yield line((f"by {step.rule}", DIM), indent=5, hang=3)


def _violation(v: Violation, more: tuple[Violation, ...] = ()) -> Iterator[Line]:
    change = f"  {v.found} → {v.expected}" if v.found != v.expected else ""
    yield line((v.severity, STYLES[v.severity]), " ", (v.rule, BOLD), f" {v.name}{change}")
    yield line(v.message, indent=2, hang=2)
    yield from _excerpt(v.file, v.line, STYLES[v.severity])
    if edited := location(*v.edited_at):
        edits = v.source_fix is not None and bool(v.source_fix.edits)
        what = "" if edits else ", the parameter" if v.rule.startswith("MUP1") else ", the optimizer"
        yield line(("edit at  " if edits else "made at  ", DIM), edited, (what, DIM), indent=2)
    if v.consequence:
        yield line(("happens  ", DIM), v.consequence, indent=2, hang=9)
    if v.fix:
        yield line(("fix      ", GOOD), v.fix, indent=2, hang=9)
    if more:
        yield line(("same     ", DIM), others(more), indent=2, hang=9)


def _edits(fix: SourceFix, root: Path) -> Iterator[Line]:
    """The diff of a fix under its finding."""
    made = "--fix makes it, " if fix.edits else ""
    yield line(("edit     ", DIM), f"{fix.summary}: {made}{fix.unchanged}", indent=2, hang=9)
    yield from diff_lines(diff_text([fix], root), indent=4)


def _excerpt(file: str | None, number: int | None, style: str) -> Iterator[Line]:
    where = location(file, number)
    if where:
        yield line(("at       ", DIM), where, indent=2)
    rows = excerpt(file, number)
    gutter = len(str(rows[-1][0])) if rows else 0
    for row, text in rows:
        here = row == number
        yield line((f"{'>' if here else ' '} {row:>{gutter}} │ ", style if here else DIM), (text, CODE), indent=4)


def _unanalysed(items: Iterable[Unanalysed], strict: bool) -> Iterator[Line]:
    weight = "counts as an error under --strict" if strict else "not counted as fine; --strict makes it an error"
    yield line((f"not analysed ({weight})", WARNING))
    for item in items:
        where = location(item.file, item.line)
        yield line(
            f"{item.rule} ", (item.name, BOLD), f"{' at ' + where if where else ''}: {item.reason}", indent=2, hang=2
        )


def _unknown(report: Report) -> str:
    """Why there is no verdict."""
    if report.unanalysed:
        return f"{len(report.unanalysed)} not analysed, what could be judged holds"
    return "nothing could be judged"


def _answers(report: Report) -> str:
    """`2 ignored in the source, 1 in the baseline`."""
    words = {
        "source": "ignored in the source",
        "configuration": "ignored by configuration",
        "baseline": "in the baseline",
    }
    counts = {by: sum(a.by == by for a in report.answered) for by in words}
    return ", ".join(f"{count} {words[by]}" for by, count in counts.items() if count)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
