"""The formats by name, and the choice between plain and coloured text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from muaudit.errors import UserError
from muaudit.findings.model import Report, Step
from muaudit.report.concise import render_concise
from muaudit.report.json import render_json
from muaudit.report.layout import Line, coloured, plain
from muaudit.report.rule_counts import statistics_lines
from muaudit.report.terminal import derivation_lines, report_lines
from muaudit.suggest import check_format, nearest

if TYPE_CHECKING:
    from muaudit.report.listing import Run

FORMATS = ("rich", "concise", "json", "jsonl", "github", "gitlab", "sarif", "junit", "markdown", "html")
DERIVING = ("html",)
"""The formats that show how every tensor comes by its exponents."""


@dataclass(frozen=True)
class Look:
    """What the formats for people show besides the findings. `width` is the terminal's, None for pipes and files."""

    tensors: bool = False
    why: str | None = None
    statistics: bool = False
    quiet: bool = False
    show_fixes: bool = False
    width: int | None = None


def render_run(run: Run, style: str, look: Look) -> str:
    """All reports of a run in one format."""
    if check_format(style, FORMATS) in ("rich", "concise", "json"):
        return _reports(run, style, look)
    home = import_module(f"muaudit.report.{style}")
    rendered: str = getattr(home, f"render_{style}")(run)
    return rendered


def _reports(run: Run, style: str, look: Look) -> str:
    if look.statistics and style != "json":
        return to_text(statistics_lines(run), look.width)
    texts = [
        render(
            each,
            style,
            tensors=look.tensors,
            why=look.why,
            strict=run.strict,
            width=look.width,
            quiet=look.quiet,
            root=run.root if look.show_fixes else None,
        )
        for each in run.reports
        if not (look.quiet and style == "rich" and not each.violations and not (run.strict and each.unanalysed))
    ]
    if style == "json":
        return texts[0] if len(texts) == 1 else f"[{','.join(texts)}]\n"
    return ("" if style == "concise" else "\n").join(texts)


def render(
    report: Report,
    style: str = "rich",
    *,
    tensors: bool = False,
    why: str | None = None,
    strict: bool = False,
    width: int | None = None,
    quiet: bool = False,
    root: Path | None = None,
) -> str:
    """The report as text. `width` is the terminal's, None for pipes and files; `why` asks for one derivation.

    root: where the paths of source edits start; without it no edits are shown.
    """
    name = None if why is None else derivation_name(why, report.derivations)
    steps = None if name is None else report.derivations[name]
    if check_format(style, FORMATS) == "json":
        return render_json(report, steps)
    if style == "concise":
        return render_concise(report, steps)

    if name is not None and steps is not None:
        return to_text(derivation_lines(name, steps), width)
    return to_text(report_lines(report, tensors, strict, quiet, root, width), width)


def to_text(lines: Iterable[Line], width: int | None) -> str:
    """Coloured for a terminal of that width, plain without one."""
    return plain(lines) if width is None else coloured(lines, width)


def derivation_name(why: str, derivations: Mapping[str, tuple[Step, ...]]) -> str:
    """The tensor or activation that `why` names, or the first that its `*` pattern matches.

    Raises:
        UserError: nothing has that name; says the nearest ones.
    """
    if why in derivations:
        return why
    for name in derivations:
        if fnmatchcase(name, why):
            return name
    raise UserError(
        f"--why: no tensor or activation named {why!r}", nearest(why, derivations, "names") if derivations else ""
    )
