"""Children where there is no safe fork: every task gets a fresh interpreter, which imports torch anew.

The task comes pickled on its stdin, whose end is the end of muaudit; messages go out on its stdout, which the child
keeps to itself: descriptor 1 becomes that of stderr.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import NoReturn

from muaudit.isolation import child
from muaudit.isolation.links import Event, Events, Launch, Printed, in_thread, listen
from muaudit.isolation.processes import kill_session
from muaudit.isolation.task import Task

_POSIX = os.name == "posix"


def launcher(preload: Sequence[str], events: Events) -> Launch:
    """Starts tasks in interpreters of their own. preload: nothing is shared, so there is nothing to import before."""
    return lambda number, task: SpawnedLink(number, task, events)


class SpawnedLink:
    """A child that muaudit has started itself."""

    def __init__(self, number: int, task: Task, events: Events) -> None:
        code = "from muaudit.isolation.spawned import main; main()"
        flags: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
        printed = subprocess.DEVNULL if task.silent else subprocess.PIPE
        self.process = subprocess.Popen(
            [sys.executable, *flags, "-c", code],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=printed, start_new_session=_POSIX,
        )  # fmt: skip
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.printed = None if self.process.stderr is None else Printed(os.dup(self.process.stderr.fileno()), task.name)
        listen(self.process.stdout, number, events)
        events.put(Event("started", number))
        in_thread(lambda: events.put(Event("ended", number, self.process.wait())))
        with suppress(OSError):
            pickle.dump((sys.path, task), self.process.stdin)
            self.process.stdin.flush()

    def interrupt(self) -> None:
        with suppress(OSError, ValueError):
            self.process.send_signal(signal.SIGINT if _POSIX else signal.CTRL_C_EVENT)  # type: ignore[attr-defined]

    def kill(self) -> None:
        if _POSIX:
            kill_session(self.process.pid)
        self.process.kill()

    def hang_up(self) -> None:
        if _POSIX:
            kill_session(self.process.pid)  # what it has started and left

    def close(self, lost: bool) -> None:
        if self.printed is not None:
            self.printed.tell(lost)
        for file in (self.process.stdin, self.process.stderr):
            if file is not None:
                with suppress(OSError):
                    file.close()


def main() -> NoReturn:
    """Be such a child."""
    status = 1
    try:
        messages = os.dup(1)
        os.dup2(2, 1)
        path, task = pickle.load(sys.stdin.buffer)
        sys.path[:] = path
        threading.Thread(target=_watch, args=(os.dup(0),), daemon=True).start()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        child.prepare(task.preload)
        child.carry_out(task, messages)
        status = 0
    finally:
        os._exit(status)


def _watch(descriptor: int) -> NoReturn:
    """End with muaudit: nothing more is sent, so all that can come is the end."""
    with suppress(OSError):
        os.read(descriptor, 1)
    if _POSIX:
        os.killpg(0, signal.SIGKILL)
    os._exit(1)
