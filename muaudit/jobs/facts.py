"""What the file system answers, as short texts that two runs can compare.

A fact is a kind of question and a path:

* `file`: what is there: a file by its content, a folder, nothing, or something else;
* `look`: the same, but a large file by its stamp, for what was only asked about;
* `access`: the same, and who may do what with it;
* `stat`, `lstat`: all that the system says of it, but for when it was read; of what a link leads to, or of the link;
* `link`: where a symbolic link points;
* `names`, `entries`, `tree`: the names in a folder; with what each is; with its size and time of change too;
* `modules`: the names of what can be imported from a folder;
* `packages`: the names in a folder that are installed packages' records;
* `stamp`: size, mode, inode and times of a file that is too much to read each time.

Nothing here raises: an error is an answer.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat as modes
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib import machinery

Facts = Mapping[str, Mapping[str, str]]
"""Answers by kind, then by path."""

ABSENT = "-"
_SUFFIXES = tuple(machinery.all_suffixes())
_LARGE, _LOOKED_AT = 64 << 20, 1 << 20
_OURS = ("__pycache__", ".muaudit_cache")
# The plain functions: the recorder stands in for those of os.
_stat, _lstat, _readlink, _scandir, _listdir = os.stat, os.lstat, os.readlink, os.scandir, os.listdir
_busy = threading.local()


@contextlib.contextmanager
def unrecorded() -> Iterator[None]:
    """What is read inside is read for the cache, and no input of the audit."""
    before = is_unrecorded()
    _busy.now = True
    try:
        yield
    finally:
        _busy.now = before


def is_unrecorded() -> bool:
    """Whether this thread is inside `unrecorded`."""
    return bool(getattr(_busy, "now", False))


def answer(kind: str, path: str) -> str:
    """The answer to one question. Raises KeyError for a kind that is none."""
    ask = _KINDS[kind]
    with unrecorded():
        try:
            return ask(path)
        except (FileNotFoundError, NotADirectoryError):
            return ABSENT
        except (OSError, ValueError) as error:
            return f"error {type(error).__name__} {getattr(error, 'errno', '')}"


def status(path: str) -> os.stat_result | None:
    """What the system says of a file, for its `stamp`; None where it says nothing."""
    try:
        return _stat(path)
    except (OSError, ValueError):
        return None


def changed(facts: Facts) -> Iterator[str]:
    """The paths whose answer is another one now, as far as they are looked at."""
    for kind, answers in facts.items():
        for path, was in answers.items():
            if answer(kind, path) != was:
                yield path


def digest(data: bytes) -> str:
    """The SHA-256 of some bytes."""
    return hashlib.sha256(data).hexdigest()


def _file(path: str, limit: int = _LARGE) -> str:
    status = _stat(path)
    if modes.S_ISDIR(status.st_mode):
        return "folder"
    if not modes.S_ISREG(status.st_mode):
        return f"other {modes.S_IFMT(status.st_mode)}"
    if status.st_size > limit:
        return stamp_of(status)
    with open(path, "rb") as file:
        return digest(file.read())


def _look(path: str) -> str:
    return _file(path, _LOOKED_AT)


def _access(path: str) -> str:
    status = _stat(path)
    return f"{_look(path)} {status.st_mode} {status.st_uid} {status.st_gid}"


def _status(path: str) -> str:
    return f"{_look(path)} {_said(_stat(path))}"


def _link_status(path: str) -> str:
    return f"{_link(path)} {_said(_lstat(path))}"


def _said(status: os.stat_result) -> str:
    return f"{stamp_of(status)} {status.st_dev} {status.st_nlink} {status.st_uid} {status.st_gid}"


def _link(path: str) -> str:
    return f"link {_readlink(path)}" if modes.S_ISLNK(_lstat(path).st_mode) else "no link"


def _names(path: str) -> str:
    return _joined(name for name in _listdir(path) if name not in _OURS)


def _packages(path: str) -> str:
    return _joined(name for name in _listdir(path) if name.lower().endswith((".dist-info", ".egg-info", ".egg")))


def _modules(path: str) -> str:
    return _joined(entry.name for entry in _scandir(path) if _importable(entry))


def _importable(entry: os.DirEntry[str]) -> bool:
    if entry.name.endswith(_SUFFIXES):
        return True
    return entry.name.isidentifier() and entry.is_dir() and os.path.isfile(os.path.join(entry.path, "__init__.py"))


def _entries(path: str) -> str:
    return _joined(_typed(entry) for entry in _scandir(path) if entry.name not in _OURS)


def _tree(path: str) -> str:
    return _joined(_sized(entry) for entry in _scandir(path) if entry.name not in _OURS)


def _typed(entry: os.DirEntry[str]) -> str:
    return f"{entry.name} {entry.is_symlink():d}{entry.is_dir():d}{entry.is_file():d}"


def _sized(entry: os.DirEntry[str]) -> str:
    status = entry.stat(follow_symlinks=False)
    return f"{_typed(entry)} {status.st_size} {status.st_mtime_ns}" if not entry.is_dir() else _typed(entry)


def _stamp(path: str) -> str:
    return stamp_of(_stat(path))


def stamp_of(status: os.stat_result) -> str:
    """The answer to `stamp` that a file with this status gets."""
    # The time of the last change of the inode (ctime) cannot be set back as the time of change can.
    return f"{status.st_mode} {status.st_ino} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"


def _joined(lines: Iterable[str]) -> str:
    return digest("\0".join(sorted(lines)).encode("utf-8", "surrogateescape"))


_KINDS: dict[str, Callable[[str], str]] = {
    "file": _file,
    "look": _look,
    "access": _access,
    "stat": _status,
    "lstat": _link_status,
    "link": _link,
    "names": _names,
    "modules": _modules,
    "packages": _packages,
    "entries": _entries,
    "tree": _tree,
    "stamp": _stamp,
}
