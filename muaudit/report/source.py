"""Where a finding stands: paths as the user would type them, and the lines of source around it."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path


def location(file: str | None, line: int | None) -> str:
    """`model.py:42`, relative to the working directory when the file is below it; empty without a file."""
    if not file:
        return ""
    return shown_path(file) + (f":{line}" if line else "")


def shown_path(file: str) -> str:
    """The shorter of the path as given and the path from the working directory."""
    try:
        relative = os.path.relpath(file)
    except ValueError:  # another drive
        return file
    return file if relative.startswith("..") else relative


def excerpt(file: str | None, line: int | None, context: int = 1) -> list[tuple[int, str]]:
    """The numbered lines around `line`; empty when the source cannot be read."""
    if not file or not line:
        return []
    lines = _source_lines(file)
    if line > len(lines):
        return []
    first, last = max(1, line - context), min(len(lines), line + context)
    return [(number, lines[number - 1].expandtabs(4).rstrip()) for number in range(first, last + 1)]


@lru_cache(maxsize=64)
def _source_lines(file: str) -> tuple[str, ...]:
    try:
        return tuple(Path(file).read_text(encoding="utf-8", errors="replace").splitlines())
    except OSError:
        return ()
