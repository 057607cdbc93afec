"""What surrounds every audit of a process alike: the interpreter and how it was started, the machine, the user."""

from __future__ import annotations

import glob
import locale
import os
import sys
from typing import Any

from muaudit.jobs import facts
from muaudit.targets.userfiles import is_user_file

_PATH = tuple(sys.path)  # as Python was started; targets add to it
_DEVICES = ("/dev/nvidia[0-9]*", "/dev/dri/render*", "/dev/kfd", "/dev/accel/*", "/dev/davinci*")


def surroundings() -> list[Any]:
    """All of it, as data that JSON can write. The environment and the versions of packages are compared apart."""
    return [
        sys.version, sys.executable, sys.prefix, _PATH, tuple(sys.flags), sys.warnoptions, sys._xoptions,
        sys.getfilesystemencoding(), locale.setlocale(locale.LC_ALL), sys.getrecursionlimit(), sys.platform, _machine(),
         os.getcwd(), facts.answer("file", "/etc/localtime"), sorted(_devices()),
    ]  # fmt: skip


def own_path() -> list[str]:
    """The folders that Python was started with on its path and that are neither its own nor those of packages."""
    return [folder for folder in map(os.path.abspath, _PATH) if is_user_file(os.path.join(folder, "x"))]


def _machine() -> list[Any]:
    """The system and its processors, and who asks: what a number or a permission may depend on."""
    kind = list(os.uname()) if hasattr(os, "uname") else []
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
    who = [os.getuid(), os.getgid()] if hasattr(os, "getuid") else []
    return [*kind, os.cpu_count(), allowed, *who]


def _devices() -> list[str]:
    return [path for pattern in _DEVICES for path in glob.glob(pattern)]
