"""`check --fix` and `--diff`: the edits of one run, made where they are safe for every target that reads the file."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from muaudit.audits import Audited
from muaudit.audits.job import Job, audit_job
from muaudit.cli.output import write
from muaudit.cli.request import Request
from muaudit.errors import UserError
from muaudit.report.findings import Failure, Run
from muaudit.report.model import Report, SourceFix
from muaudit.report.source import shown_path
from muaudit.writing import check_writable

READ_ONLY = "--diff prints the edits as a patch"


def diff_of(run: Run) -> str:
    """All safe edits as a unified diff. A fix that wants the same place as one before it is left out."""
    from muaudit.fixes import diff_text

    chosen: list[SourceFix] = []
    for report in run.reports:
        chosen += _new(report, chosen)
    return diff_text(chosen, run.root)


def make_fixes(run: Run, wanted: Request, done: Sequence[Audited | Failure]) -> bool:
    """Edit the files; whether there was anything to edit. Raises UserError where a file cannot be written."""
    from muaudit.fixes import edited

    audits = [(job, each) for job, each in zip(wanted.jobs, done, strict=True) if isinstance(each, Audited)]
    chosen: list[SourceFix] = []
    for report in run.reports:
        more = _new(report, chosen)
        if more and _safe_for_all(chosen + more, audits):
            chosen += more
    texts = edited(chosen)
    check_writable(map(Path, texts), READ_ONLY)
    for file, text in texts.items():
        write(text, Path(file), READ_ONLY)
        count = sum(any(edit.file == file for edit in fix.edits) for fix in chosen)
        print(f"muaudit: fixed {count} finding{'s' * (count != 1)} in {shown_path(file)}", file=sys.stderr)
    # What is imported holds what the files held before.
    for name in {*_modules_of(list(texts)), *(name for _, each in audits for name in each.modules)}:
        sys.modules.pop(name, None)
    return bool(texts)


def _new(report: Report, chosen: Sequence[SourceFix]) -> list[SourceFix]:
    """The report's fixes, unless they clash with those chosen before."""
    from muaudit.fixes import edited

    found = [v.source_fix for v in report.violations if v.source_fix is not None and v.source_fix.verified]
    try:
        edited([*chosen, *found])
    except ValueError:
        return []
    return found


def _safe_for_all(fixes: Sequence[SourceFix], audits: Sequence[tuple[Job, Audited]]) -> bool:
    """Whether no target that reads an edited file has a finding more. One target alone was tried with its audit."""
    from muaudit.fixes import edited
    from muaudit.fixes.overlay import overlay
    from muaudit.fixes.verify import keys

    texts = edited(fixes)
    readers = [(job, each) for job, each in audits if set(each.sources) & set(texts)]
    if len(readers) < 2:
        return True
    for job, each in readers:
        try:
            with overlay(texts, _modules_of(each.sources)):
                after = audit_job(replace(job, fixes=False))
        except UserError:
            return False
        if keys(after.violations) - keys(each.report.violations):
            return False
    return True


def _modules_of(files: Sequence[str]) -> set[str]:
    return {name for name, module in sys.modules.items() if getattr(module, "__file__", None) in files}
