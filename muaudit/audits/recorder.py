"""What an audit reads, noted before it is used: files, look-ups, folders, imports, environment variables.

Python tells an audit hook of what it opens, lists and imports; `os.stat` and its kin are stood in for. Each fact is
answered when it is first asked for and once more at the end: what has changed in between was not audited as it stands.
What neither sees is noted as `unseen`, a reason why the result is not kept.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

from muaudit.audits import facts, lookups
from muaudit.audits.behalf import Whose, caller, users_below, users_own_call, whose
from muaudit.audits.environment import Lookups, watched
from muaudit.audits.standins import standing_in
from muaudit.targets.userfiles import is_installed, is_user_file

_SYSTEM = ("/proc/", "/sys/", "/dev/")
_METADATA = os.path.join("importlib", "metadata", "__init__.py")
_MOST = 10_000
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


class Recorder:
    """The notes on one audit.

    facts: answers by kind and path. imports: names by folder that was searched. folders: those of Python and of
    installed packages that were searched. written: what the audited code has written itself, and extended: what it has
    added to. native: packages whose native code was loaded while the user's waited. start: nanoseconds since the epoch.
    """

    def __init__(self, variables: Lookups) -> None:
        self.variables = variables
        self.facts: dict[str, dict[str, str]] = defaultdict(dict)
        self.imports: dict[str, dict[str, str]] = defaultdict(dict)
        self.folders: set[str] = set()
        self.unseen: dict[str, None] = {}
        self.written: set[str] = set()
        self.extended: set[str] = set()
        self.native: set[str] = set()
        self.start = time.time_ns()

    def note(self, kind: str, path: str | bytes) -> None:
        """Answer a question about a path now, unless it was asked before."""
        text = os.path.abspath(os.fsdecode(path))
        noted = self.facts[kind]
        if text in noted or text in self.written:
            return
        if text in self.extended:
            self.cannot_see(f"{text} is read after it was added to")
        if len(noted) >= _MOST:
            self.cannot_see(f"it reads more than {_MOST} files")
            return
        noted[text] = facts.answer(kind, text)
        if noted[text].startswith("other"):
            self.cannot_see(f"{text} is no regular file")

    def cannot_see(self, reason: str) -> None:
        """Note a reason why the result is not kept."""
        self.unseen[reason] = None

    def searched(self, name: str, folders: list[str]) -> None:
        """A name that was looked for in these folders, in this order, up to the one that has it."""
        for each in folders:
            folder = os.path.abspath(each)
            if not _is_users_folder(folder):
                self.folders.add(folder)
            elif name not in self.imports[folder]:
                self.imports[folder].update(lookups.found(folder, [name]))
            if lookups.is_module(self.imports.get(folder, {}).get(name, "")):
                return

    # -- events of the audit hook --------------------------------------------------------------------------------------
    def opened(self, path: Any, mode: Any, flags: Any) -> None:
        """A file that is about to be opened."""
        if isinstance(path, int):
            return
        text = os.path.abspath(os.fsdecode(path))
        if "__pycache__" in text.split(os.sep):
            return  # bytecode that is older than its source is not read, see `fresh`
        if text.startswith(_SYSTEM):
            if whose()[0] is Whose.USER and text != os.devnull:
                self.cannot_see(f"{text} is read")
        elif _only_writes(mode, flags):
            (self.written if _from_nothing(mode, flags) else self.extended).add(text)
        elif is_user_file(text) or not text.endswith((".py", ".pyc")):
            self.note("file", text)

    def listed(self, path: Any, kind: str) -> None:
        """A folder that is about to be listed."""
        if isinstance(path, int):
            self.cannot_see("a folder is listed by its descriptor")
            return
        text = os.path.abspath(os.fsdecode(path or "."))
        frame = caller()
        by = frame.f_code.co_filename if frame else ""
        if by.startswith("<frozen importlib"):
            return  # `searched` notes the names that matter
        if by.endswith(_METADATA):
            kind = "packages"
        if text.startswith(_SYSTEM):
            if whose()[0] is Whose.USER:
                self.cannot_see(f"{text} is listed")
        elif _is_users_folder(text) or whose()[0] is Whose.USER:
            self.note("tree" if kind == "entries" and users_own_call() else kind, text)

    def imported(self, name: str, file: Any) -> None:
        """Native code that is about to be loaded."""
        if not file or not users_below():
            return
        if is_user_file(str(file)):
            self.cannot_see(f"native code of your own is loaded: {os.path.basename(str(file))}")
        elif is_installed(str(file)):
            self.native.add(name.partition(".")[0])

    def looked(self, path: Any, kind: str) -> None:
        """A path that is about to be asked about."""
        if isinstance(path, int):
            return
        text = os.path.abspath(os.fsdecode(path))
        if text.startswith(_SYSTEM):
            if whose()[0] is Whose.USER and text != os.devnull:
                self.note(kind, text)
        elif is_user_file(text) or whose()[0] is Whose.USER:
            self.note(kind, text)


def _only_writes(mode: Any, flags: Any) -> bool:
    if isinstance(mode, str):
        return "r" not in mode and "+" not in mode
    return isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR) == os.O_WRONLY


def _from_nothing(mode: Any, flags: Any) -> bool:
    """Whether nothing is left of what a file held that is opened for writing."""
    return "a" not in mode if isinstance(mode, str) else bool(flags & os.O_TRUNC)


def _is_users_folder(folder: str) -> bool:
    inside = os.path.join(folder, "x")
    return is_user_file(inside) and not is_installed(inside)


# -- the hook and the stand-ins: one each for the process, resting outside `recording` ---------------------------------
_now: Recorder | None = None
_hooked = False


@contextlib.contextmanager
def recording() -> Iterator[Recorder]:
    """Note what is read inside."""
    global _now, _hooked
    if not _hooked:
        sys.addaudithook(_hook)
        _hooked = True
    before = _now
    with watched() as variables, standing_in(current):
        _now = Recorder(variables)
        try:
            yield _now
        finally:
            _now = before


def current() -> Recorder | None:
    """The recorder that listens now, None where nothing is to be noted."""
    return None if facts.is_unrecorded() else _now


def _hook(event: str, args: tuple[Any, ...]) -> None:
    handle = _EVENTS.get(event)
    if handle is not None and _now is not None and not facts.is_unrecorded():
        with facts.unrecorded():
            handle(_now, event, args)


def _on_process(recorder: Recorder, event: str, args: tuple[Any, ...]) -> None:
    if whose()[0] is Whose.USER:
        recorder.cannot_see(f"another process is started ({event})")


def _on_network(recorder: Recorder, event: str, args: tuple[Any, ...]) -> None:
    recorder.cannot_see(f"the network is asked ({event})")


def _on_native(recorder: Recorder, event: str, args: tuple[Any, ...]) -> None:
    if whose()[0] is Whose.USER:
        recorder.cannot_see(f"native code is called ({event})")


def _on_other(recorder: Recorder, event: str, args: tuple[Any, ...]) -> None:
    if whose()[0] is Whose.USER:
        recorder.cannot_see(f"what it reads is not seen ({event})")


_EVENTS: dict[str, Callable[[Recorder, str, tuple[Any, ...]], None]] = {
    "open": lambda recorder, _, args: recorder.opened(*args[:3]),
    "import": lambda recorder, _, args: recorder.imported(*args[:2]),
    "os.listdir": lambda recorder, _, args: recorder.listed(args[0], "names"),
    "os.scandir": lambda recorder, _, args: recorder.listed(args[0], "entries"),
    **dict.fromkeys(_APART, _on_process),
    **dict.fromkeys(_NETWORK, _on_network),
    **dict.fromkeys(_NATIVE, _on_native),
    **dict.fromkeys(("sqlite3.connect", "builtins.input", "os.getxattr", "os.listxattr"), _on_other),
}
