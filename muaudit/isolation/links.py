"""The connections to children: threads that listen turn whatever comes into one queue of events."""

from __future__ import annotations

import codecs
import json
import os
import re
import sys
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from queue import SimpleQueue
from typing import IO, Any, Literal, Protocol

from muaudit.isolation.task import Task

DRAIN_SECONDS = 1.0
"""How long what an ended child has printed is waited for, where something holds its output open."""


@dataclass(frozen=True)
class Event:
    """Something about the task `number`. started; message: of its child; silent: there will be no more of these; ended:
    with its exit status; lost: and why, in words."""

    kind: Literal["started", "message", "silent", "ended", "lost"]
    number: int
    value: Any = None


SHOW_ALL = False
"""Whether everything that children print is shown, as `--verbose` asks for."""
_ALIKE, _KINDS, _LONG = 2, 10_000, 1 << 16
_NUMBERS = re.compile(r"\d+")

Events = SimpleQueue[Event]


class Link(Protocol):
    """What can be done to one child."""

    def interrupt(self) -> None:
        """Send it a Ctrl-C."""

    def kill(self) -> None:
        """End it, with all that it has started."""

    def hang_up(self) -> None:
        """It has ended: what it has sent is still read, nothing is waited for."""

    def close(self) -> None:
        """Free what the link holds, once what it has printed is shown."""


Launch = Callable[[int, Task], Link]


def listen(file: IO[bytes], number: int, events: Events) -> None:
    """Turn the messages of a child into events, in a thread."""

    def run() -> None:
        with suppress(OSError, ValueError), file:
            for line in file:
                with suppress(ValueError, RecursionError):  # a line that is none of ours
                    events.put(Event("message", number, json.loads(line)))
        events.put(Event("silent", number))

    in_thread(run)


def show(descriptor: int) -> threading.Thread:
    """Pass on to stderr what a child prints, in a thread."""

    def run() -> None:
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        printed = _Printed()
        with suppress(OSError):
            while data := os.read(descriptor, 1 << 16):
                _to_stderr(printed.shown(decoder.decode(data)))
        _to_stderr(printed.rest())
        os.close(descriptor)

    return in_thread(run)


class _Printed:
    """What code prints, line by line. A model is built several times: lines that differ in numbers are shown twice."""

    def __init__(self) -> None:
        self._begun, self._left = "", 0
        self._seen: Counter[str] = Counter()

    def shown(self, text: str) -> str:
        """What is to be shown of the lines that end in a text; a line that is only begun waits, if it is short."""
        *lines, self._begun = (self._begun + text).split("\n")
        kept = [line for line in lines if self._is_new(line)]
        self._left += len(lines) - len(kept)
        begun = ""
        if len(self._begun) > _LONG:
            begun, self._begun = self._begun, ""
        return "".join(f"{line}\n" for line in kept) + begun

    def rest(self) -> str:
        """What was begun and not ended, and how much was left out."""
        left = f"muaudit: {self._left} more lines like these were printed\n" if self._left else ""
        return f"{self._begun}\n{left}" if self._begun and left else self._begun + left

    def _is_new(self, line: str) -> bool:
        if SHOW_ALL or not line.strip():
            return True
        alike = _NUMBERS.sub("0", line)
        self._seen[alike] += len(self._seen) < _KINDS or alike in self._seen
        return self._seen[alike] <= _ALIKE


def _to_stderr(text: str) -> None:
    with suppress(OSError, ValueError):
        sys.stderr.write(text)
        sys.stderr.flush()


def in_thread(run: Callable[[], None]) -> threading.Thread:
    """Run it beside everything else, and forget it at the end."""
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread
