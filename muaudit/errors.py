"""The one exception class for everything the user can mend."""

from __future__ import annotations

BUG = "This is a bug in muaudit, please report it; --debug shows the traceback."


class UserError(Exception):
    """A problem with the input: the command line prints it without a traceback and exits 2.

    `message` says what was expected and what was found; `hint` says what to do about it
    and may hold several lines (candidates, a spec to paste).
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message if not hint else f"{message}\n{hint}")
        self.message = message
        self.hint = hint


class NoWidthError(UserError):
    """A model class without an argument that looks like a width."""


class MissingValuesError(UserError):
    """Arguments without a default about which nothing is known: `names`."""

    def __init__(self, message: str, hint: str, names: list[str]) -> None:
        super().__init__(message, hint)
        self.names = tuple(names)


class AmbiguousModelError(UserError):
    """Several classes of one file may be the model: `names`, in the order of the file."""

    def __init__(self, message: str, hint: str, names: list[str]) -> None:
        super().__init__(message, hint)
        self.names = tuple(names)
