"""A folder that is replaced in one step: whoever looks sees all of the old content or all of the new.

The new content is staged in a hidden folder beside the output folder, flushed to the disk, and then the two exchange
their names in a single system call. Files of the user's own in the output folder are hard-linked into the staged one,
so they are there before and after. A run that is killed leaves its staging folder behind; the next run removes it.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from ..errors import UserError
from ..writing import try_lock

_AT_FDCWD, _RENAME_EXCHANGE, _RENAME_SWAP = -100, 2, 2


@contextmanager
def replaced(folder: Path, own: Callable[[Path], Collection[str]]) -> Iterator[Path]:
    """A staging folder whose content becomes the folder's when the block ends without an exception.

    own: given the folder as it was, the names in it that an earlier run wrote. These are dropped; all others are kept.

    Raises:
        UserError: the folder cannot be written, another run is writing it, or a new file has a kept one's name.
    """
    folder = _whole(folder)
    staging, previous = _beside(folder, "staged"), _beside(folder, "previous")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _locked(_beside(folder, "lock"), folder):
            _clean_up(folder, staging, previous)
            staging.mkdir()
            try:
                yield staging
                _keep(folder, staging, own)
                _flush(staging)
                _exchange(staging, folder, previous)
            finally:
                _remove(staging)
    except OSError as error:
        raise cannot_write(folder, error) from error


def cannot_write(path: Path, error: BaseException) -> UserError:
    """The error for output that did not make it to the disk."""
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    if isinstance(error, (FileExistsError, NotADirectoryError)):
        return UserError(f"cannot write {path}: {error.filename} is a file", "--out names another folder")
    reason = (error.strerror if isinstance(error, OSError) and error.strerror else str(error)).lower()
    hint = "make room or name a folder on another disk with --out" if full else "--out names another folder"
    return UserError(f"cannot write {path}: {reason}", f"{hint}; what was there before is untouched")


def need_room(folder: Path, size: int) -> None:
    """Raise UserError where fewer than `size` bytes are free on the folder's disk."""
    there = folder
    while not there.exists() and there != there.parent:
        there = there.parent
    free = shutil.disk_usage(there).free
    if free < size:
        raise UserError(
            f"cannot write {folder}: {shown_size(size)} needed, {shown_size(free)} free",
            "make room or name a folder on another disk with --out; what was there before is untouched",
        )


def shown_size(size: int) -> str:
    """Bytes as people read them: `43.0 MB`."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def _whole(folder: Path) -> Path:
    """The folder's real path. Raises UserError where it cannot be exchanged for another."""
    folder = Path(os.path.realpath(folder))
    if folder.exists() and not folder.is_dir():
        raise UserError(f"cannot write {folder}: it is a file", "--out names a folder")
    if Path.cwd().is_relative_to(folder) or os.path.ismount(folder):
        raise UserError(
            f"cannot write {folder}: it is replaced as a whole, and it is {_why(folder)}",
            "--out names a folder of its own, such as --out mup",
        )
    return folder


def _why(folder: Path) -> str:
    return "a mount point" if os.path.ismount(folder) else "the folder you are in"


def _beside(folder: Path, what: str) -> Path:
    return folder.with_name(f".{folder.name}.muaudit-{what}")


@contextmanager
def _locked(lock: Path, folder: Path) -> Iterator[None]:
    """Hold the lock file; the system lets go of it when the process dies, however it dies."""
    with lock.open("w") as file:
        if not try_lock(file) or not _same(lock, file):
            raise UserError(f"cannot write {folder}: another run is writing it", "wait for it, or name another --out")
        try:
            yield
        finally:
            with suppress(OSError):
                lock.unlink()


def _same(lock: Path, file: IO[str]) -> bool:
    """Whether the file that was locked still goes by that name: a run that ended just now removed it."""
    return lock.exists() and os.path.samestat(lock.stat(), os.fstat(file.fileno()))


def _clean_up(folder: Path, staging: Path, previous: Path) -> None:
    """What a killed run left: its staging folder, or the old folder while its name was free."""
    _remove(staging)
    if previous.is_dir() and not folder.exists():
        previous.rename(folder)
    _remove(previous)


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


def _keep(folder: Path, staging: Path, own: Callable[[Path], Collection[str]]) -> None:
    """Link the user's own files into the staged folder."""
    if not folder.is_dir():
        return
    dropped = own(folder)
    kept = [entry for entry in folder.iterdir() if entry.name not in dropped]
    for entry in kept:
        new = staging / entry.name
        if os.path.lexists(new):
            raise UserError(
                f"{folder} holds a {entry.name} that muaudit did not write",
                "move it away or name another folder with --out",
            )
        if entry.is_dir() and not entry.is_symlink():
            shutil.copytree(entry, new, symlinks=True, copy_function=os.link)
        else:
            os.link(entry, new, follow_symlinks=False)
    shutil.copystat(folder, staging)


def _flush(folder: Path) -> None:
    for root, _, files in os.walk(folder):
        for name in files:
            if not (Path(root) / name).is_symlink():
                _sync(Path(root) / name)
        _sync(Path(root))


def _sync(path: Path) -> None:
    if path.is_dir() and os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _exchange(staging: Path, folder: Path, previous: Path) -> None:
    if not folder.exists():
        staging.rename(folder)
    elif not _swap(staging, folder):
        # Two renames where the file system cannot swap; a kill between them is mended by the next run.
        folder.rename(previous)
        staging.rename(folder)
        _remove(previous)
    _sync(folder.parent)


def _swap(one: Path, other: Path) -> bool:
    """Exchange two names in one system call; False where that is not to be had."""
    if os.name != "posix":
        return False
    library = ctypes.CDLL(None, use_errno=True)
    first, second = os.fsencode(one), os.fsencode(other)
    if sys.platform.startswith("linux") and hasattr(library, "renameat2"):
        failed = library.renameat2(_AT_FDCWD, first, _AT_FDCWD, second, ctypes.c_uint(_RENAME_EXCHANGE))
    elif sys.platform == "darwin" and hasattr(library, "renamex_np"):
        failed = library.renamex_np(first, second, ctypes.c_uint(_RENAME_SWAP))
    else:
        return False
    if not failed:
        return True
    code = ctypes.get_errno()
    if code in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
        return False
    raise OSError(code, os.strerror(code), str(other))
