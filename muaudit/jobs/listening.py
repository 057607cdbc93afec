"""What an audit reads, noted before it is used: files, look-ups, folders, imports, environment variables.

Python tells an audit hook of what it opens, lists and imports; `os.stat` and its kin are stood in for. Each fact is
answered when it is first asked for and once more at the end: what has changed in between was not audited as it stands.
What neither sees is noted as `unseen`, a reason why the result is not kept.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

from muaudit.jobs import facts
from muaudit.jobs.behalf import Whose, whose
from muaudit.jobs.environment import watched
from muaudit.jobs.notes import Notes
from muaudit.jobs.standins import standing_in
from muaudit.jobs.surroundings import own_path

_APART = (
    "os.fork",
    "os.forkpty",
    "os.exec",
    "os.posix_spawn",
    "os.spawn",
    "os.system",
    "subprocess.Popen",
    "pty.spawn",
)
_NETWORK = (
    "socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo", "socket.gethostbyname",
    "socket.gethostbyaddr", "socket.getnameinfo", "socket.gethostname", "urllib.Request",
)  # fmt: skip
_NATIVE = ("ctypes.dlopen", "ctypes.dlsym", "ctypes.call_function", "ctypes.string_at", "ctypes.cdata")


# -- the hook and the stand-ins: one each for the process, resting outside `recording` ---------------------------------
_now: Notes | None = None
_hooked = False


@contextlib.contextmanager
def recording() -> Iterator[Notes]:
    """Note what is read inside.

    What was imported before, torch above all, may have looked for modules that were not there: those that appear in
    the user's folders on the path count from the start. What appears in folders of packages is noted at the end.
    """
    global _now, _hooked
    if not _hooked:
        sys.addaudithook(_hook)
        _hooked = True
    before = _now
    with watched() as variables, standing_in(current):
        _now = Notes(variables)
        for folder in own_path():
            _now.note("modules", folder)
        try:
            yield _now
        finally:
            _now = before


def current() -> Notes | None:
    """The recorder that listens now, None where nothing is to be noted."""
    return None if facts.is_unrecorded() else _now


def _hook(event: str, args: tuple[Any, ...]) -> None:
    handle = _EVENTS.get(event)
    if handle is not None and _now is not None and not facts.is_unrecorded():
        with facts.unrecorded():
            handle(_now, event, args)


def _on_process(recorder: Notes, event: str, args: tuple[Any, ...]) -> None:
    if whose()[0] is Whose.USER:
        recorder.cannot_see(f"another process is started ({event})")


def _on_network(recorder: Notes, event: str, args: tuple[Any, ...]) -> None:
    recorder.cannot_see(f"the network is asked ({event})")


def _on_native(recorder: Notes, event: str, args: tuple[Any, ...]) -> None:
    if whose()[0] is Whose.USER:
        recorder.cannot_see(f"native code is called ({event})")


def _on_other(recorder: Notes, event: str, args: tuple[Any, ...]) -> None:
    if whose()[0] is Whose.USER:
        recorder.cannot_see(f"what it reads is not seen ({event})")


_EVENTS: dict[str, Callable[[Notes, str, tuple[Any, ...]], None]] = {
    "open": lambda recorder, _, args: recorder.opened(*args[:3]),
    "import": lambda recorder, _, args: recorder.imported(*args[:2]),
    "os.listdir": lambda recorder, _, args: recorder.listed(args[0], "names"),
    "os.scandir": lambda recorder, _, args: recorder.listed(args[0], "entries"),
    **dict.fromkeys(_APART, _on_process),
    **dict.fromkeys(_NETWORK, _on_network),
    **dict.fromkeys(_NATIVE, _on_native),
    **dict.fromkeys(("sqlite3.connect", "builtins.input", "os.getxattr", "os.listxattr"), _on_other),
}
