"""Which line of Python a recorded operation belongs to."""

from __future__ import annotations

import os
import sys
import sysconfig
from pathlib import Path
from types import FrameType

import torch

from ..targets.userfiles import is_user_file

_TORCH = str(Path(torch.__file__).parent) + os.sep
_OWN = str(Path(__file__).resolve().parent.parent) + os.sep
_STDLIB = sysconfig.get_paths()["stdlib"] + os.sep + "contextlib"  # decorators around a forward

# What a frame's file is: ours or torch's (never shown), installed framework code, or the user's.
_HIDDEN, _FRAMEWORK, _USER = 0, 1, 2
_kinds: dict[str, int] = {}


def _kind(filename: str) -> int:
    kind = _kinds.get(filename)
    if kind is None:
        hidden = filename.startswith((_TORCH, _OWN, "<"))
        kind = _HIDDEN if hidden else _USER if is_user_file(filename) else _FRAMEWORK
        _kinds[filename] = kind
    return kind


def caller(stop: FrameType | None = None) -> tuple[str | None, int | None]:
    """File and line of the innermost user frame, else of the innermost frame outside torch.

    `stop` is the frame that called the model: frames from there outwards drive the recording and do not count.
    """
    frame: FrameType | None = sys._getframe(1)
    framework: tuple[str | None, int | None] = (None, None)
    while frame is not None and frame is not stop:
        filename = frame.f_code.co_filename
        kind = _kinds.get(filename)
        if kind is None:
            kind = _kind(filename)
        if kind == _USER:
            return filename, frame.f_lineno
        if kind == _FRAMEWORK and framework[0] is None and not filename.startswith(_STDLIB):
            framework = (filename, frame.f_lineno)
        frame = frame.f_back
    return framework


def maker(made: object, stop: FrameType | None = None) -> tuple[str | None, int | None]:
    """File and line of the user's innermost frame that is no method of what is being made; (None, None) without one.

    `stop`: as for `caller`.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame is not stop:
        code = frame.f_code
        own = code.co_argcount > 0 and frame.f_locals.get(code.co_varnames[0]) is made
        if not own and _kind(code.co_filename) == _USER:
            return code.co_filename, frame.f_lineno
        frame = frame.f_back
    return None, None


def user_frame() -> FrameType | None:
    """The innermost frame of the user's own code, None where there is none on the stack."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and _kind(frame.f_code.co_filename) != _USER:
        frame = frame.f_back
    return frame
