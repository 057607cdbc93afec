"""On whose behalf something is done, from the call stack: what a library does while it is imported is the library's."""

from __future__ import annotations

import os
import sys
from enum import Enum
from types import FrameType

from muaudit.targets.userfiles import is_installed, is_user_file

_HERE = os.path.dirname(os.path.abspath(__file__)) + os.sep
_TOOL = os.path.dirname(os.path.dirname(_HERE)) + os.sep


class Whose(Enum):
    """USER: the user's code, or a library that it calls. LIBRARY: a package while it is imported. TOOL: muaudit."""

    USER = 1
    LIBRARY = 2
    TOOL = 3


def whose() -> tuple[Whose, str]:
    """Whose the present call is, and the installed package that is in between, if any."""
    frame: FrameType | None = sys._getframe(1)
    package = ""
    while frame is not None:
        file = frame.f_code.co_filename
        if file.startswith("<frozen importlib") and package:
            return Whose.LIBRARY, package
        if is_user_file(file):
            return Whose.USER, package
        if file.startswith(_TOOL) and not file.startswith(_HERE):
            return Whose.TOOL, package
        if not package and is_installed(file):
            package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        frame = frame.f_back
    return Whose.TOOL, package


def caller() -> FrameType | None:
    """The innermost frame that does not belong to the recording itself."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_HERE):
        frame = frame.f_back
    return frame


def users_own_call(passing: tuple[str, ...] = ()) -> bool:
    """Whether the user's code called directly, or only through these files of the standard library, by their names."""
    frame = caller()
    while frame is not None and _basename(frame.f_code.co_filename) in passing:
        frame = frame.f_back
    return frame is not None and is_user_file(frame.f_code.co_filename)


def _basename(file: str) -> str:
    return file[8:-1] + ".py" if file.startswith("<frozen ") else os.path.basename(file)


def users_below() -> bool:
    """Whether any of the user's code waits for the present call, imports included."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if is_user_file(frame.f_code.co_filename):
            return True
        frame = frame.f_back
    return False
