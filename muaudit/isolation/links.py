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
from muaudit.telling import tell

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
_SHOWN, _WIDE = 3, 100  # of what was printed, in a note
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

    def close(self, lost: bool) -> None:
        """Free what the link holds, once what it has printed is told. lost: it has ended without an answer."""


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


class Printed:
    """What the code of a child prints, collected in a thread and told at its end."""

    def __init__(self, descriptor: int, name: str) -> None:
        self.name = name
        self._begun, self._count = "", 0
        self._kept: list[str] = []
        self._seen: Counter[str] = Counter()
        self._thread = in_thread(lambda: self._read(descriptor))

    def tell(self, lost: bool) -> None:
        """Tell it in one note. lost: the child ended without an answer, and what it printed last may say why."""
        self._thread.join(DRAIN_SECONDS)
        if self._begun.strip():
            self._take(self._begun)
            self._begun = ""
        if SHOW_ALL or not self._count:
            return
        if lost:
            _to_stderr("".join(f"{line}\n" for line in self._kept))
            left = self._count - len(self._kept)
            _to_stderr(f"muaudit: {left} more lines like these were printed\n" if left else "")
            return
        shown = "; ".join(line.strip()[:_WIDE] for line in self._first_of_each())
        more = " ...; muaudit check --verbose shows all" if len(self._seen) > _SHOWN else ""
        tell(f"note: {self.name} printed {self._count} line{'s' * (self._count != 1)}: {shown}{more}")

    def _read(self, descriptor: int) -> None:
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        with suppress(OSError):
            while data := os.read(descriptor, 1 << 16):
                text = decoder.decode(data)
                if SHOW_ALL:
                    _to_stderr(text)
                    continue
                *lines, self._begun = (self._begun + text).split("\n")
                for line in lines:
                    self._take(line)
                if len(self._begun) > _LONG:
                    self._take(self._begun)
                    self._begun = ""
        os.close(descriptor)

    def _take(self, line: str) -> None:
        """A model is built several times: of lines that differ in numbers two are kept."""
        if line.startswith("muaudit: "):  # our own word
            _to_stderr(f"{line}\n")
            return
        if not line.strip():
            return
        self._count += 1
        alike = _NUMBERS.sub("0", line)
        self._seen[alike] += len(self._seen) < _KINDS or alike in self._seen
        if 0 < self._seen[alike] <= _ALIKE:
            self._kept.append(line)

    def _first_of_each(self) -> list[str]:
        firsts = {_NUMBERS.sub("0", line): line for line in reversed(self._kept)}
        return list(firsts.values())[::-1][:_SHOWN]


def _to_stderr(text: str) -> None:
    with suppress(OSError, ValueError):
        sys.stderr.write(text)
        sys.stderr.flush()


def in_thread(run: Callable[[], None]) -> threading.Thread:
    """Run it beside everything else, and forget it at the end."""
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread
