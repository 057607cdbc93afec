"""The connections to children: threads that listen turn whatever comes into one queue of events."""

from __future__ import annotations

import codecs
import json
import os
import sys
import threading
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
        with suppress(OSError):
            while data := os.read(descriptor, 1 << 16):
                with suppress(OSError, ValueError):
                    sys.stderr.write(decoder.decode(data))
                    sys.stderr.flush()
        os.close(descriptor)

    return in_thread(run)


def in_thread(run: Callable[[], None]) -> threading.Thread:
    """Run it beside everything else, and forget it at the end."""
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread
