"""Places in files: paths as the user would type them, and the lines of source around it."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

from muaudit.errors import UserError
from muaudit.reading import SOURCE, read_bytes


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
        return tuple(read_bytes(file, most=SOURCE).decode("utf-8", "replace").splitlines())
    except UserError:
        return ()


@lru_cache(maxsize=8)
def repository_root(start: Path) -> Path:
    """The folder with `.git` (a worktree has a file of that name) at or above `start`, else `start` itself."""
    for folder in (start, *start.parents):
        if (folder / ".git").exists():
            return folder
    return start


def relative(file: str, root: Path) -> str | None:
    """The path from the root; None for a file outside it or in an installed package."""
    path = Path(file) if Path(file).is_absolute() else Path.cwd() / file
    if not path.is_relative_to(root):
        path = path.resolve()
    if not path.is_relative_to(root) or "site-packages" in path.parts:
        return None
    return path.relative_to(root).as_posix()
