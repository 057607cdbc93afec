"""Edits made: to a text, and as a diff."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from difflib import unified_diff
from pathlib import Path

from ..errors import UserError
from ..findings.model import SourceEdit, SourceFix
from ..locations import relative, shown_path
from ..targets.source import read_source
from .places import lines_of


class ChangedError(UserError):
    """A source file that is no more what was audited: its edits would land in other places."""

    def __init__(self, file: str, why: str) -> None:
        super().__init__(f"no edit was made in {shown_path(file)}: {why}", "run the same command again")


def edited(fixes: Iterable[SourceFix]) -> dict[str, str]:
    """The text of every edited file. Edits that several fixes share are made once.

    Raises:
        ValueError: two edits want the same place.
        ChangedError: a file is no more what it was when it was audited.
    """
    by_file: dict[str, dict[SourceEdit, None]] = {}
    for fix in fixes:
        for edit in fix.edits:
            by_file.setdefault(edit.file, {})[edit] = None
    return {file: apply_edits(_audited_text(file, edits), edits) for file, edits in by_file.items()}


def apply_edits(text: str, edits: Iterable[SourceEdit]) -> str:
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


def _audited_text(file: str, edits: Iterable[SourceEdit]) -> str:
    """The file as it is, where that is what every edit was worked out for."""
    try:
        data = read_source(file)
    except OSError as error:
        raise ChangedError(file, error.strerror or str(error)) from error
    if {edit.digest for edit in edits} - {"", hashlib.sha256(data).hexdigest()}:
        raise ChangedError(file, "it has changed since it was audited")
    return data.decode("utf-8")


def _text(file: str) -> str:
    return read_source(file).decode("utf-8")
