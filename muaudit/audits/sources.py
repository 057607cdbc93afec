"""What an audit read: the user's modules and data files by content, installed packages by their stamp."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from muaudit.targets.userfiles import is_installed, is_user_file

Stamp = list[int]


class opened:
    """A context that notes the files opened for reading inside it: configurations and data that a model loads.

    The hook cannot be taken out again (sys.addaudithook), so there is one, and it rests outside the context.
    """

    _current: opened | None = None
    _hooked = False

    def __enter__(self) -> opened:
        self.files: set[str] = set()
        if not opened._hooked:
            sys.addaudithook(opened._hook)
            opened._hooked = True
        opened._current = self
        return self

    def __exit__(self, *exc: Any) -> None:
        opened._current = None

    @staticmethod
    def _hook(event: str, args: tuple[Any, ...]) -> None:
        now = opened._current
        if now is None or event != "open" or not isinstance(args[0], str):
            return
        mode = args[1]
        if mode is None or "r" in mode:
            now.files.add(args[0])


def user_files(opened_files: set[str]) -> tuple[str, ...]:
    """The user's own files among the imported modules and the opened files, by absolute path, sorted."""
    modules = {os.path.abspath(file) for name, file in user_modules() if name != "__main__"}
    data = {
        os.path.abspath(file)
        for file in opened_files
        if is_user_file(os.path.abspath(file)) and not file.startswith(("/proc/", "/sys/", "/dev/", "/etc/"))
    }
    found = {file for file in modules | data if os.path.isfile(file) and "__pycache__" not in file}
    return tuple(sorted(found))


def user_modules() -> list[tuple[str, str]]:
    """(name, file) of what is imported of the user's own Python."""
    found = [(name, getattr(module, "__file__", None)) for name, module in list(sys.modules.items())]
    return [(name, file) for name, file in found if file and file.endswith(".py") and is_user_file(file)]


def packages() -> dict[str, Stamp]:
    """The stamp of every installed package that is imported, by the path of its `__init__.py`."""
    tops = {name: module for name, module in list(sys.modules.items()) if "." not in name}
    files = (getattr(module, "__file__", None) for module in tops.values())
    found = {file: stamp(file) for file in files if file and is_installed(file)}
    return {file: stamped for file, stamped in sorted(found.items()) if stamped}


def stamp(file: str) -> Stamp | None:
    """Time of change in nanoseconds and size; None without such a file."""
    try:
        status = os.stat(file)
    except OSError:
        return None
    return [status.st_mtime_ns, status.st_size]


def digest(file: str) -> str | None:
    """The SHA-256 of a file's content; None where it cannot be read."""
    try:
        return hashlib.sha256(Path(file).read_bytes()).hexdigest()
    except OSError:
        return None


def unchanged(files: Mapping[str, str], stamps: Mapping[str, Stamp]) -> bool:
    """Whether all of it is as it was."""
    return all(digest(file) == was for file, was in files.items()) and all(
        stamp(file) == was for file, was in stamps.items()
    )
