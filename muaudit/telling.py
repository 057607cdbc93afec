"""Messages on stderr: plain through a pipe; at a terminal folded between words, with errors in red."""

from __future__ import annotations

import os
import sys
import textwrap
from contextlib import suppress
from shutil import get_terminal_size

from muaudit.visible import visible

_RED, _PLAIN = "\x1b[1;31m", "\x1b[0m"
_ERROR = "muaudit: error:"


def tell(message: str) -> None:
    """Tell something on stderr; control characters in it are shown, not obeyed."""
    text = visible(f"muaudit: {message}")
    with suppress(OSError, ValueError):  # stderr is closed
        print(_for_terminal(text) if _is_terminal() else text, file=sys.stderr, flush=True)


def _is_terminal() -> bool:
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def _for_terminal(text: str) -> str:
    room = max(40, get_terminal_size().columns)
    folded = "\n".join(_folded(row, room) for row in text.split("\n"))
    if folded.startswith(_ERROR) and not os.environ.get("NO_COLOR"):
        return f"{_RED}{_ERROR}{_PLAIN}{folded[len(_ERROR) :]}"
    return folded


def _folded(row: str, room: int) -> str:
    """Continued under its beginning; what is longer than a row is left to the terminal."""
    indent = " " * (len(row) - len(row.lstrip()) + 2)
    return textwrap.fill(row, room, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False,
                         replace_whitespace=False) if len(row) > room else row  # fmt: skip
