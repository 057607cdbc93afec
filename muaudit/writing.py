"""Writing one file: a regular one is replaced in one step, a device, a FIFO or a pipe is opened and written to.

A symbolic link is followed. A file with several names (hard links), and one whose owner could not be kept, is written
in place, after its new content has been written beside it, so that a full disk is met before the old content is gone.
What is written beside it is a hidden file, `.NAME.XXXXXXXX.tmp`, which its writer locks: one that nobody holds is of a
killed run, and the next one that writes NAME removes it.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from muaudit.errors import UserError

_OWN = "an output needs a file of its own: give another name"
_LONGEST = 200
"""Of a name that goes into that of a temporary file, which may have 255 characters."""
_YOUNG = 10.0
"""Seconds in which a temporary file may be between being made and locked, or being closed and put in place."""
_LINKS = 40
"""As many links as Linux follows (path_resolution(7))."""


def write_file(path: Path, data: bytes, hint: str = "") -> None:
    """Make `data` what the file holds. A reader of a pipe that stops early is no error.

    Raises:
        UserError: it cannot be written; `hint` says what to do about it.
    """
    check_writable([path], hint)
    try:
        if _is_regular(path):
            _replace(_real(path), data)
        else:
            with contextlib.suppress(BrokenPipeError):
                _write_all(_open(path), data)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}", hint) from error


def check_writable(paths: Iterable[Path], hint: str = "") -> None:
    """Raise UserError unless each of these files could be written: asked before long work, and before the first of
    several files is written."""
    for path in paths:
        if path.is_dir():
            raise UserError(f"cannot write {path}: it is a folder", hint)
        folder = _real(path).parent
        if _is_regular(path) and not folder.exists():
            raise UserError(f"cannot write {path}: {os.strerror(errno.ENOENT)}: {folder}", hint)
        # A file that may not be written could still be replaced: that is not what its owner wants.
        places = [(path, "it")] if not _is_regular(path) else [(path, "it"), (folder, "its folder")]
        for place, name in places:
            if place.exists() and not os.access(place, os.W_OK):
                raise UserError(f"cannot write {path}: {name} is read-only", hint)


def check_no_source(paths: Iterable[Path], sources: Iterable[str | Path]) -> None:
    """Raise UserError where an output is a file that is read, by whichever of its names, or any Python source."""
    read = {_identity(Path(source)): str(source) for source in sources}
    for path in paths:
        identity = _identity(path)
        if identity is None:
            continue
        if identity in read:
            other = f" ({read[identity]})" if read[identity] != str(path) else ""
            raise UserError(f"cannot write {path}: this run reads that file{other}", _OWN)
        if path.suffix == ".py":
            raise UserError(f"cannot write {path}: it is a Python source file", _OWN)


@contextlib.contextmanager
def locked(paths: Iterable[Path]) -> Iterator[None]:
    """Hold a lock on each of these files, for what is read inside, decided and written.

    Raises:
        UserError: another run holds one, or a file cannot be opened.
    """
    with contextlib.ExitStack() as held:
        for path in sorted({_real(path) for path in paths}):
            try:
                file = held.enter_context(path.open("r+b"))
            except OSError as error:
                raise UserError(f"cannot write {path}: {error.strerror or error}") from error
            if not try_lock(file) or not os.path.samestat(path.stat(), os.fstat(file.fileno())):
                raise UserError(f"cannot write {path}: another run is writing it", "run the same command again")
        yield


def try_lock(file: IO[Any]) -> bool:
    """Lock an open file unless another process has; the system lets go of it when the process dies, however it dies."""
    try:
        import fcntl
    except ImportError:  # Windows
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


def remove_abandoned(path: Path) -> None:
    """Remove the temporary files beside a file that a killed run has left: those that nobody holds a lock on."""
    for temporary in path.parent.glob(f".{glob.escape(path.name[:_LONGEST])}.*.tmp"):
        with contextlib.suppress(OSError):
            if not stat.S_ISREG(temporary.lstat().st_mode):
                continue
            with temporary.open("rb") as file:
                old = time.time() - os.fstat(file.fileno()).st_mtime > _YOUNG
                if old and try_lock(file):
                    temporary.unlink()


def _identity(path: Path) -> tuple[int, int] | None:
    """Device and inode of a regular file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return (status.st_dev, status.st_ino) if stat.S_ISREG(status.st_mode) else None


def _is_regular(path: Path) -> bool:
    """Whether it is a regular file that a path leads to, or nothing yet. An open one (`/dev/stdout > file`) is neither:
    who holds it open would go on with what was replaced."""
    return _descriptor(path) is None and (not path.exists() or path.is_file())


def _real(path: Path) -> Path:
    """The file itself, where links lead to one, existing or not."""
    return Path(os.path.realpath(path))


def _descriptor(path: Path) -> int | None:
    """N for `/dev/fd/N`, `/proc/self/fd/N`, `/dev/stdout` and links to them."""
    text = os.path.abspath(path)
    for _ in range(_LINKS):
        found = re.fullmatch(rf"/(?:dev|proc/(?:self|thread-self|{os.getpid()}))/fd/(\d+)", text)
        if found:
            return int(found[1])
        try:
            text = os.path.normpath(os.path.join(os.path.dirname(text), os.readlink(text)))
        except OSError:
            return None
    return None


def _open(path: Path) -> int:
    number = _descriptor(path)
    return os.dup(number) if number is not None else os.open(path, os.O_WRONLY)


def _write_all(descriptor: int, data: bytes) -> None:
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)


def _replace(path: Path, data: bytes) -> None:
    with _beside(path) as temporary:
        private = 0o600 if path.exists() else 0o666  # the old file may be for its owner alone
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, private), "wb") as file:
            try_lock(file)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if not path.exists() or _like(temporary, path):
            temporary.replace(path)
            return
        with path.open("r+b") as file:
            file.write(data)
            file.truncate()
            file.flush()
            os.fsync(file.fileno())


@contextlib.contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """The path of a temporary file in the same folder, which is gone afterwards."""
    remove_abandoned(path)
    temporary = path.with_name(f".{path.name[:_LONGEST]}.{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _like(temporary: Path, path: Path) -> bool:
    """Give the new file the mode, owner and attributes of the old one; whether it can take its place."""
    old = path.stat()
    if old.st_nlink > 1:
        return False
    try:
        if (old.st_uid, old.st_gid) != (temporary.stat().st_uid, temporary.stat().st_gid):
            os.chown(temporary, old.st_uid, old.st_gid)
        shutil.copystat(path, temporary)
        os.utime(temporary)
    except OSError:
        return False
    return True
