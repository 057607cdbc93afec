"""The one exception class for everything the user can mend."""

from __future__ import annotations


class UserError(Exception):
    """A problem with the input: the command line prints it without a traceback and exits 2.

    `message` says what was expected and what was found; `hint` says what to do about it
    and may hold several lines (candidates, a spec to paste).
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message if not hint else f"{message}\n{hint}")
        self.message = message
        self.hint = hint
