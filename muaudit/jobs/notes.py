"""The notes on one audit: what it reads, answered before it is used, and what could not be seen."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from typing import Any

from muaudit.jobs import facts, lookups
from muaudit.jobs.behalf import Whose, caller, users_below, users_own_call, whose
from muaudit.jobs.environment import Lookups
from muaudit.targets.userfiles import is_installed, is_user_file

_SYSTEM = ("/proc/", "/sys/", "/dev/")
_METADATA = os.path.join("importlib", "metadata", "__init__.py")
_MOST = 10_000


class Notes:
    """What is noted.

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

    def by_descriptor(self, what: str) -> None:
        """A question about an open file, or about a path that starts from an open folder."""
        if whose()[0] is Whose.USER:
            self.cannot_see(f"{what} is asked about what is open")

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
