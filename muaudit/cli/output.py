"""Where the report goes: stdout, or a file that is replaced in one step."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from muaudit.errors import UserError

if TYPE_CHECKING:
    from muaudit.report.layout import Line


def terminal_width() -> int | None:
    """The width of the terminal that stdout is, None for a pipe or a file."""
    if not sys.stdout.isatty() or os.environ.get("TERM") == "dumb":
        return None
    from shutil import get_terminal_size

    return max(40, get_terminal_size().columns)


def show(lines: Iterable[Line]) -> int:
    """Print lines, coloured on a terminal. Returns exit code 0."""
    from muaudit.report.layout import coloured, plain

    width = terminal_width()
    write(plain(lines) if width is None else coloured(lines, width))
    return 0


def write(text: str, path: Path | None = None, hint: str = "") -> None:
    """Write to the file, or to stdout; a reader that stops early (`| head`) is no error.

    Raises:
        UserError: the file cannot be written; `hint` says what to do about it.
    """
    if path is not None:
        return _replace(path, text, hint)
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")  # a terminal without UTF-8 shows ? for ∝
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        # Python flushes stdout once more at exit: give it somewhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def append(text: str, path: Path) -> None:
    """Add to a file that others add to as well. Raises UserError where it cannot be written."""
    try:
        with path.open("a", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error


def check_writable(paths: Iterable[Path], hint: str = "") -> None:
    """Raise UserError unless each of these files could be replaced: asked before long work, and before the first of
    several files is written."""
    for path in paths:
        # A file that may not be written could still be replaced: that is not what its owner wants.
        for place, name in ((path, "it"), (path.parent, "its folder")):
            if place.exists() and not os.access(place, os.W_OK):
                raise UserError(f"cannot write {path}: {name} is read-only", hint)


def _replace(path: Path, text: str, hint: str) -> None:
    check_writable([path], hint)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            temporary.chmod(path.stat().st_mode)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True) if path.parent.is_dir() else None
        raise UserError(f"cannot write {path}: {error.strerror or error}", hint) from error
