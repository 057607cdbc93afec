"""`check --fix` and `--diff`: the edits of one run, made where they are safe for every target that reads the file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from muaudit.cli.output import say
from muaudit.cli.request import Request
from muaudit.errors import UserError
from muaudit.findings.model import Report, SourceFix
from muaudit.fixes.edited import diff_text, edited
from muaudit.fixes.safe_edits import keys
from muaudit.jobs import Audited
from muaudit.jobs.all_jobs import reports_with
from muaudit.jobs.job import Job
from muaudit.locations import shown_path
from muaudit.report.listing import Failure, Run
from muaudit.writing import check_writable, locked, write_file

READ_ONLY = "--diff prints the edits as a patch"


def check_base(run: Run, flag: str) -> None:
    """Raise UserError where there are edits, and nobody knows at which width they should change nothing."""
    for report in run.reports:
        for violation in report.violations:
            fix = violation.source_fix
            if fix is not None and fix.base is None:
                raise UserError(
                    f"{flag} needs a base width: {report.describe.partition(',')[0]} has no {fix.width} of its own",
                    f"--base-width N says at which {fix.width} the edited model is the same as before: "
                    "that of the model whose hyperparameters were tuned",
                )


def diff_of(run: Run) -> str:
    """All safe edits as a unified diff. A fix that wants the same place as one before it is left out.

    Raises:
        UserError: a file is no more what was audited, or a base width must be said first.
    """
    check_base(run, "--diff")
    chosen: list[SourceFix] = []
    for report in run.reports:
        chosen += _new(report, chosen)
    return diff_text(chosen, run.root)


def make_fixes(run: Run, wanted: Request, done: Sequence[Audited | Failure], timeout: int | None = None) -> bool:
    """Edit the files; whether there was anything to edit.

    Raises:
        UserError: a file cannot be written, is no more what was audited, or a base width must be said first; then
            no file is edited.
    """
    check_base(run, "--fix")
    audits = [(job, each) for job, each in zip(wanted.jobs, done, strict=True) if isinstance(each, Audited)]
    chosen: list[SourceFix] = []
    for report in run.reports:
        more = _new(report, chosen)
        if more and _safe_for_all(chosen + more, audits, timeout or wanted.settings.timeout):
            chosen += more
    return bool(_write(chosen))


def _write(chosen: Sequence[SourceFix]) -> list[str]:
    """Make the edits, all of them or none, in the files that were audited."""
    files = list(dict.fromkeys(edit.file for fix in chosen for edit in fix.edits))
    check_writable(map(Path, files), READ_ONLY)
    with locked(map(Path, files)):
        for file, text in edited(chosen).items():
            write_file(Path(file), text.encode(), READ_ONLY)
    for file in files:
        here = [fix for fix in chosen if any(edit.file == file for edit in fix.edits)]
        unchanged = "; ".join(dict.fromkeys(fix.unchanged for fix in here))
        say(f"fixed {len(here)} finding{'s' * (len(here) != 1)} in {shown_path(file)}; {unchanged}")
        for name, base in {fix.argument: fix.base for fix in here if fix.argument}.items():
            say(f"muaudit check {shown_path(file)} --set {name}={base} audits it with {name}")
    return files


def _new(report: Report, chosen: Sequence[SourceFix]) -> list[SourceFix]:
    """The report's fixes, unless they clash with those chosen before."""
    found = [v.source_fix for v in report.violations if v.source_fix is not None and v.source_fix.verified]
    try:
        edited([*chosen, *found])
    except ValueError:
        return []
    return found


def _safe_for_all(fixes: Sequence[SourceFix], audits: Sequence[tuple[Job, Audited]], timeout: float) -> bool:
    """Whether no target that reads an edited file has a finding more. One target alone was tried with its audit."""
    texts = edited(fixes)
    readers = [(job, each) for job, each in audits if set(each.sources) & set(texts)]
    if len(readers) < 2:
        return True
    after = reports_with([replace(job, fixes=False, why=None) for job, _ in readers], texts, timeout)
    return all(
        now is not None and not keys(now.violations) - keys(each.report.violations)
        for now, (_, each) in zip(after, readers, strict=True)
    )
