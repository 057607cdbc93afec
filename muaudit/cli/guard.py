"""What keeps the exit codes honest: whatever goes wrong in a command is one message on stderr and exit 2."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

import typer

from muaudit.cli.output import say
from muaudit.errors import BUG, UserError
from muaudit.isolation import InternalError, scope
from muaudit.visible import visible

P = ParamSpec("P")
COULD_NOT, INTERRUPTED = 2, 130


def guarded(command: Callable[P, int]) -> Callable[P, None]:
    """The command as typer wants it: its return value becomes the exit code, its exceptions become messages.

    With a parameter `debug` that is set, the traceback is printed too. The exit code stays 2: an exception
    that escapes would exit 1, which means "violations found".
    """

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            with scope():
                code = command(*args, **kwargs)
        except typer.Exit:
            raise
        except KeyboardInterrupt:
            code = INTERRUPTED
        except (Exception, SystemExit) as error:
            code = explain(error, debug=bool(kwargs.get("debug")))
        raise typer.Exit(code)

    return run


def explain(error: BaseException, debug: bool) -> int:
    """Say what went wrong. Returns the exit code."""
    if debug:
        print(visible(_trace(error)), end="", file=sys.stderr)
    if isinstance(error, UserError):
        say(f"error: {error}")
    elif isinstance(error, SystemExit):
        say(f"error: something called sys.exit({error.code!r})\n--debug shows where")
    elif not debug:
        words = error.error if isinstance(error, InternalError) else f"{type(error).__name__}: {error}"
        say(f"internal error: {words}\n{BUG}")
    return COULD_NOT


def _trace(error: BaseException) -> str:
    """The traceback; that of a child came as text."""
    cause = error if isinstance(error, InternalError) else error.__cause__
    if isinstance(cause, InternalError) and cause.trace:
        return cause.trace

    return "".join(traceback.format_exception(error))
