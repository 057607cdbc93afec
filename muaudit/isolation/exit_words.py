"""How a process that ended without an answer has ended, in words."""

from __future__ import annotations

import signal

_MEANING = {
    "SIGSEGV": "a segmentation fault", "SIGABRT": "it aborted", "SIGBUS": "a bus error",
    "SIGFPE": "an arithmetic fault", "SIGILL": "an illegal instruction",
    "SIGKILL": "out of memory, or killed from outside", "SIGTERM": "terminated from outside",
}  # fmt: skip


def exit_words(status: int | None) -> str:
    """status: as of `os.waitstatus_to_exitcode`, the negative number of a signal; None where it is not known."""
    if status is None:
        return "its process ended without a result"
    if status >= 0:
        return f"its process ended with exit status {status} before it had a result: something called os._exit or exit"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        return f"its process was ended by signal {-status}"
    return f"its process was ended by {name}" + (f" ({_MEANING[name]})" if name in _MEANING else "")
