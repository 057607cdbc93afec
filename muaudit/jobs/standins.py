"""Functions that Python raises no audit event for, with stand-ins that note what they are asked.

`os.stat`, `os.lstat`, `os.access`, `os.readlink` and the finder of imports are noted and answered as always. Clocks,
the system's randomness and the like have no answer that a second run could be compared with: where the user's code
asks them, the result is not kept. `random`, numpy and torch are seeded before the user's code runs, and are no such
source unless it seeds them anew from the system.
"""

from __future__ import annotations

import contextlib
import functools
import os
import pathlib
import platform
import random
import sys
import time
from collections.abc import Callable, Iterator
from importlib.machinery import PathFinder, SourceFileLoader
from importlib.util import cache_from_source
from types import CodeType, FrameType
from typing import Any

from muaudit.jobs.behalf import users_own_call
from muaudit.jobs.facts import unrecorded
from muaudit.jobs.notes import Notes
from muaudit.targets.userfiles import is_user_file

Current = Callable[[], Notes | None]

_KIND_ONLY = {
    "exists", "isfile", "isdir", "islink", "lexists", "is_file", "is_dir", "is_symlink", "ismount", "realpath",
    "_joinrealpath",
}  # fmt: skip
_ALL_OF_IT = {"look": "stat", "link": "lstat"}
_CLOCKS = (
    "time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "process_time",
    "process_time_ns", "thread_time", "clock_gettime",
)  # fmt: skip
_GIVEN_A_TIME = {"localtime": 1, "gmtime": 1, "ctime": 1, "asctime": 1, "strftime": 2}
"""Clocks only with fewer arguments than that."""
_SYSTEM = (
    "urandom", "getpid", "getppid", "times", "getloadavg", "statvfs", "uname", "getlogin", "get_terminal_size", "fstat",
    "fstatvfs", "sysconf", "getgroups", "getpriority", "getpgid", "getpgrp", "getsid", "ttyname",
)  # fmt: skip
_PASSING = ("random.py", "secrets.py", "uuid.py", "shutil.py", "bit_generator.pyx")
_GRAIN = 50_000_000
"""Nanoseconds that the time stamps of a file system may be coarse."""


@contextlib.contextmanager
def standing_in(current: Current) -> Iterator[None]:
    """Replace them all inside. The command line is muaudit's own and no input: the audited code sees none."""
    with contextlib.ExitStack() as stack:
        for name in ("argv", "orig_argv"):
            stack.callback(setattr, sys, name, getattr(sys, name))
            setattr(sys, name, ["muaudit"])
        for holder, name, make in _stand_ins():
            if hasattr(holder, name):
                plain = vars(holder).get(name, getattr(holder, name))
                stack.callback(setattr, holder, name, plain)
                setattr(holder, name, make(plain, current))
        for supported in (os.supports_dir_fd, os.supports_follow_symlinks, os.supports_effective_ids, os.supports_fd):
            added = {getattr(os, name) for name in _REPLACED if _plain(getattr(os, name)) in supported}
            supported |= added
            stack.callback(supported.difference_update, added)
        yield


def _stand_ins() -> Iterator[tuple[Any, str, Callable[[Any, Current], Any]]]:
    for holder in (os, getattr(pathlib, "_NormalAccessor", None)):
        if holder is not None:
            yield holder, "stat", functools.partial(_asking, holder=holder, kind="look")
            yield holder, "lstat", functools.partial(_asking, holder=holder, kind="link")
            yield holder, "readlink", functools.partial(_asking, holder=holder, kind="link")
    yield os, "access", functools.partial(_asking, holder=os, kind="access")
    yield os, "open", _opening
    yield PathFinder, "find_spec", _finding
    yield SourceFileLoader, "get_code", _compiling
    yield from ((time, name, _ambient(f"time.{name}")) for name in _CLOCKS)
    yield from ((time, name, _ambient(f"time.{name}", told)) for name, told in _GIVEN_A_TIME.items())
    yield from ((os, name, _ambient(f"os.{name}")) for name in _SYSTEM)
    yield from ((platform, name, _ambient(f"platform.{name}")) for name in ("node", "uname", "platform"))
    yield random, "_urandom", _ambient("the system's randomness")
    yield random, "seed", _ambient("random.seed()", told=1)
    yield random.Random, "seed", _ambient("random.Random()", told=1)
    if "uuid" in sys.modules:
        yield sys.modules["uuid"], "uuid1", _ambient("uuid.uuid1")
        yield sys.modules["uuid"], "getnode", _ambient("uuid.getnode")
    if "torch" in sys.modules:
        yield from _of_torch(sys.modules["torch"])


def _of_torch(torch: Any) -> Iterator[tuple[Any, str, Callable[[Any, Current], Any]]]:
    """Natively read files, and seeds from the system."""
    yield torch, "seed", _ambient("torch.seed()")
    yield torch, "from_file", _reading
    yield torch._C, "PyTorchFileReader", _reading_class


_REPLACED = ("stat", "lstat", "readlink", "access", "open")
"""Functions of os that may be given a folder's descriptor, which shutil asks of them."""


def _opening(plain: Any, current: Current) -> Any:
    """Python tells of a path that is opened, but not of the folder's descriptor that it starts from."""

    @functools.wraps(plain)
    def opened(path: Any, *args: Any, **kwargs: Any) -> Any:
        recorder = current()
        if recorder is not None and kwargs.get("dir_fd") is not None:
            with unrecorded():
                recorder.by_descriptor("os.open")
        return plain(path, *args, **kwargs)

    return opened


def _plain(function: Any) -> Any:
    return getattr(function, "__wrapped__", function)


def _asking(plain: Any, current: Current, holder: Any, kind: str) -> Any:
    def ask(path: Any, *args: Any, **kwargs: Any) -> Any:
        recorder = current()
        if recorder is not None:
            with unrecorded():
                if isinstance(path, int) or kwargs.get("dir_fd") is not None:
                    recorder.by_descriptor(f"os.{plain.__name__}")
                elif isinstance(path, str | bytes | os.PathLike):
                    recorder.looked(
                        path, _ALL_OF_IT[kind] if kind in _ALL_OF_IT and _uses_it(sys._getframe(1)) else kind
                    )
        return plain(path, *args, **kwargs)

    ask.__wrapped__ = plain  # type: ignore[attr-defined]
    return functools.update_wrapper(ask, plain) if isinstance(holder, type(os)) else staticmethod(ask)


def _uses_it(frame: FrameType) -> bool:
    """Whether the user's code may use more of a status than what kind of thing is there."""
    asking = {frame.f_code.co_name, frame.f_back.f_code.co_name if frame.f_back else ""}
    return not asking & _KIND_ONLY and users_own_call(
        ("genericpath.py", "posixpath.py", "pathlib.py", "_local.py", "_abc.py", "ntpath.py")
    )


def _finding(plain: Any, current: Current) -> Any:
    find = plain.__func__

    def find_spec(cls: Any, fullname: str, path: Any = None, target: Any = None) -> Any:
        recorder = current()
        if recorder is not None:
            folders = sys.path if path is None else path
            with unrecorded():
                recorder.searched(fullname.rpartition(".")[2], [str(each) for each in folders])
        return find(cls, fullname, path, target)

    return classmethod(find_spec)


def _compiling(plain: Any, current: Current) -> Any:
    """Bytecode goes by a time stamp in whole seconds and a size: an edit within that second would not be seen."""

    def get_code(self: SourceFileLoader, fullname: str) -> CodeType | None:
        path = self.get_filename(fullname)
        if not is_user_file(path) or _is_older(path):
            code: CodeType | None = plain(self, fullname)
            return code
        compiled: CodeType = self.source_to_code(self.get_data(path), path)
        return compiled

    return get_code


def _is_older(path: str) -> bool:
    """Whether the source has certainly not changed since its bytecode was written."""
    with unrecorded():
        try:
            return os.stat(path).st_ctime_ns + _GRAIN < os.stat(cache_from_source(path)).st_mtime_ns
        except (OSError, NotImplementedError):
            return False


def _ambient(name: str, told: int = 9) -> Callable[[Any, Current], Any]:
    """told: with so many arguments it is no question to the world any more."""

    def make(plain: Any, current: Current) -> Any:
        @functools.wraps(plain)
        def ask(*args: Any, **kwargs: Any) -> Any:
            recorder = current()
            given = [each for each in args if each is not None and not isinstance(each, random.Random)]
            if recorder is not None and len(given) + len(kwargs) < told:
                with unrecorded():
                    if users_own_call(_PASSING):
                        recorder.cannot_see(f"{name} answers differently each time")
            return plain(*args, **kwargs)

        return ask

    return make


def _reading(plain: Any, current: Current) -> Any:
    @functools.wraps(plain)
    def read(path: Any, *args: Any, **kwargs: Any) -> Any:
        recorder = current()
        if recorder is not None and isinstance(path, str | os.PathLike):
            recorder.note("file", os.fspath(path))
        return plain(path, *args, **kwargs)

    return read


def _reading_class(plain: Any, current: Current) -> Any:
    """A class that is still one: others ask whether something is of it."""

    class Reader(plain):  # type: ignore[misc]
        def __init__(self, path: Any, *args: Any) -> None:
            recorder = current()
            if recorder is not None and isinstance(path, str | os.PathLike):
                recorder.note("file", os.fspath(path))
            super().__init__(path, *args)

    Reader.__name__, Reader.__qualname__, Reader.__module__ = plain.__name__, plain.__qualname__, plain.__module__
    return Reader
