"""Where the report goes: stdout, or a file."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from shutil import get_terminal_size
from typing import TYPE_CHECKING

from muaudit.errors import UserError
from muaudit.report.layout import coloured, plain
from muaudit.telling import tell
from muaudit.writing import write_file

if TYPE_CHECKING:
    from muaudit.report.layout import Line


def terminal_width() -> int | None:
    """The width of the terminal that stdout is, None for a pipe or a file."""
    if not sys.stdout.isatty() or os.environ.get("TERM") == "dumb":
        return None

    return max(40, get_terminal_size().columns)


def show(lines: Iterable[Line]) -> int:
    """Print lines, coloured on a terminal. Returns exit code 0."""
    width = terminal_width()
    write(plain(lines) if width is None else coloured(lines, width))
    return 0


def write(text: str, path: Path | None = None, hint: str = "") -> None:
    """Write to the file, or to stdout; a reader that stops early (`| head`) is no error.

    Raises:
        UserError: the file cannot be written; `hint` says what to do about it.
    """
    if path is not None:
        return write_file(path, text.encode("utf-8", "backslashreplace"), hint)
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")  # a terminal without UTF-8 shows ? for ∝
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        # Python flushes stdout once more at exit: give it somewhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


say = tell


def append(text: str, path: Path) -> None:
    """Add to a file that others add to as well. Raises UserError where it cannot be written."""
    try:
        with path.open("a", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error
