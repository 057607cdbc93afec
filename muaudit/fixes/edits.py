"""Edits made: to a text, as a diff, and to files, each replaced in one step."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import unified_diff
from pathlib import Path

from ..report.model import Edit, SourceFix
from ..report.places import relative
from ..targets.source import read_source
from .places import lines_of


def edited(fixes: Iterable[SourceFix]) -> dict[str, str]:
    """The text of every edited file. Edits that several fixes share are made once.

    Raises:
        ValueError: two edits want the same place.
    """
    by_file: dict[str, dict[Edit, None]] = {}
    for fix in fixes:
        for edit in fix.edits:
            by_file.setdefault(edit.file, {})[edit] = None
    return {file: apply_edits(_text(file), edits) for file, edits in by_file.items()}


def apply_edits(text: str, edits: Iterable[Edit]) -> str:
    """The text with the edits made, last first. Raises ValueError where two overlap."""
    starts = [0]
    for line in lines_of(text):
        starts.append(starts[-1] + len(line))
    end = len(text) + 1
    for edit in sorted(edits, key=lambda e: (e.line, e.column, e.end_line, e.end_column), reverse=True):
        first, last = starts[edit.line - 1] + edit.column, starts[edit.end_line - 1] + edit.end_column
        if last > end or (first, last) == (end, end):
            raise ValueError(f"two edits of {edit.file}:{edit.line}")
        text, end = text[:first] + edit.text + text[last:], first
    return text


def diff_text(fixes: Iterable[SourceFix], root: Path) -> str:
    """The edits as a unified diff with paths from the root, as `git apply` and `patch -p1` take it."""
    parts: list[str] = []
    for file, after in sorted(edited(fixes).items()):
        name = relative(file, root) or file
        parts += unified_diff(lines_of(_text(file)), lines_of(after), f"a/{name}", f"b/{name}")
    return "".join(part if part.endswith("\n") else f"{part}\n\\ No newline at end of file\n" for part in parts)


def _text(file: str) -> str:
    return read_source(file).decode("utf-8")
