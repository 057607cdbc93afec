"""Where a finding points for tools that read a repository: a path relative to its root, and a line that is in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from muaudit.findings.model import Report
from muaudit.locations import excerpt, relative


@dataclass(frozen=True)
class Place:
    """A line of a file in the repository; columns from 1, end exclusive. `path` is relative, with forward slashes."""

    path: str
    line: int = 1
    column: int = 1
    end_column: int = 1


def place(report: Report, file: str | None, line: int | None, root: Path) -> Place | None:
    """The line of a finding; without one in the repository the model's class, else the top of the audited file."""
    candidates = ((file, line), (report.class_file, report.class_line), (report.path, 1))
    for where, number in candidates:
        path = relative(where, root) if where and number else None
        if path is not None and where and number:
            return _with_columns(path, where, number)
    return None


def _with_columns(path: str, file: str, line: int) -> Place:
    rows = excerpt(file, line, context=0)
    text = rows[0][1] if rows else ""
    first = len(text) - len(text.lstrip()) + 1
    return Place(path, line, first, max(first, len(text) + 1))
