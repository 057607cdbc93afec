"""In the child: its descriptors, its signals, the call of the task's function, and the one message that answers it.

Messages are JSON, a line each: `{"progress": [...]}` any number of times, then `{"done": data}` or `{"error": {...}}`.
"""

from __future__ import annotations

import atexit
import importlib
import io
import json
import os
import pickle
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, NoReturn

from muaudit.errors import UserError
from muaudit.isolation.processes import LINUX, end_with_parent, first_when_memory_ends
from muaudit.isolation.task import Task
from muaudit.targets.usercode import answered, describe, where

_TELL_SECONDS = 0.1
_EXIT_SECONDS = 2.0
_channel: _Channel | None = None


class _Channel:
    """The way to the parent. Only the child itself may use it, not what it forks."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor, self.owner = descriptor, os.getpid()
        self.told = 0.0
        self.interrupted = False

    def send(self, message: dict[str, Any]) -> None:
        """Raises TypeError or ValueError for what JSON does not have."""
        data = json.dumps(message).encode() + b"\n"
        if os.getpid() != self.owner:
            os._exit(1)
        while data:
            data = data[os.write(self.descriptor, data) :]


def tell(*values: Any) -> None:
    """Tell the parent of progress, which must be how far things are and not how much further: some calls are dropped.

    Nothing happens outside a child.
    """
    now = time.monotonic()
    if _channel is not None and now - _channel.told >= _TELL_SECONDS:
        _channel.told = now
        _channel.send({"progress": values})


def tell_now(*values: Any) -> None:
    """Tell the parent something that must not be dropped. Nothing happens outside a child."""
    if _channel is not None:
        _channel.told = time.monotonic()
        _channel.send({"progress": values})


def alive() -> None:
    """Tell the parent that something gets on, without saying how far it is."""
    tell()


def interrupted_by_user() -> bool:
    """Whether it was the user's Ctrl-C, and no KeyboardInterrupt of the audited code's own. True outside a child."""
    return _channel is None or _channel.interrupted


def prepare(preload: Iterable[str]) -> None:
    """Import modules, and call functions that are named `module:function`."""
    for name in preload:
        with suppress(Exception, SystemExit):  # the task meets it again, and says so
            module, _, function = name.partition(":")
            found = importlib.import_module(module)
            if function:
                getattr(found, function)()


def work(payload: bytes, descriptor: int, output: int | None, parent: int) -> NoReturn:
    """Be a forked child until its end. payload: a pickled Task. descriptor: for messages. output: where 1 and 2 go."""
    status = 1
    try:
        os.setsid()
        end_with_parent(parent)
        if LINUX:
            first_when_memory_ends()
        _take_descriptors(os.open(os.devnull, os.O_RDWR) if output is None else output)
        carry_out(pickle.loads(payload), descriptor)
        status = 0
    finally:
        os._exit(status)


def carry_out(task: Task, descriptor: int) -> None:
    """Call the task's function and answer with what it returns or raises; then do what Python does at exit."""
    global _channel
    _channel = channel = _Channel(descriptor)
    signal.signal(signal.SIGINT, _interrupt)
    try:
        entry = _function(task.entry)
        with answered("the audited code", entry):
            message = {"done": entry(*task.args)}
        _send(channel, message)
    except BaseException as error:
        _send(channel, {"error": _told(error)})
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _end_within(_EXIT_SECONDS)
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()


def _end_within(seconds: float) -> None:
    """The answer is given: what the user's code does at exit may take so long, and is cut off then."""
    timer = threading.Timer(seconds, os._exit, (0,))
    timer.daemon = True
    timer.start()


def _send(channel: _Channel, message: dict[str, Any]) -> None:
    with suppress(BrokenPipeError):
        channel.send(message)


def _interrupt(*args: Any) -> NoReturn:
    if _channel is not None:
        _channel.interrupted = True
    raise KeyboardInterrupt


def _function(entry: str) -> Any:
    module, _, name = entry.partition(":")
    return getattr(importlib.import_module(module), name)


def _take_descriptors(output: int) -> None:
    """Nothing to read, and one place for what is written, whoever writes it: Python, C code, a subprocess."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    for old, new in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(old, new)
    sys.stdin = sys.__stdin__ = io.TextIOWrapper(io.FileIO(0, closefd=False))  # type: ignore[misc]
    sys.stdout = sys.__stdout__ = _writer(1)  # type: ignore[misc]
    sys.stderr = sys.__stderr__ = _writer(2)  # type: ignore[misc]


def _writer(descriptor: int) -> io.TextIOWrapper:
    raw = io.FileIO(descriptor, "w", closefd=False)
    return io.TextIOWrapper(io.BufferedWriter(raw), "utf-8", "backslashreplace", line_buffering=True)


def _told(error: BaseException) -> dict[str, Any]:
    """The exception as data: what kind it is, its words, its traceback."""
    told: dict[str, Any] = {"kind": "internal", "message": _words(error), "hint": ""}
    if isinstance(error, UserError):
        told |= {"kind": "user", "message": error.message, "hint": error.hint}
    elif isinstance(error, SystemExit):
        called = f"the audited code called sys.exit({error.code!r})"
        told |= {"kind": "lost", "message": "\n".join([called, *where(error)])}
    elif not isinstance(error, Exception):
        told |= {"kind": "lost", "message": "\n".join([f"the audited code raised {_words(error)}", *where(error)])}
    elif isinstance(error, MemoryError):
        told |= {"kind": "lost", "message": "out of memory"}
    with suppress(Exception):
        told["trace"] = "".join(traceback.format_exception(error))
    return told


def _words(error: BaseException) -> str:
    try:
        return describe(error)
    except Exception:  # the exception is the user's, and so is what makes words of it
        return type(error).__name__
