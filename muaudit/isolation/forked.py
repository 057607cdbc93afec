"""Children that are forked from a nursery, seen from muaudit."""

from __future__ import annotations

import json
import os
import pickle
import signal
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from muaudit.isolation import nursery
from muaudit.isolation import task as scopes
from muaudit.isolation.links import Event, Events, Launch, Printed, in_thread, listen
from muaudit.isolation.processes import kill_session
from muaudit.isolation.task import Task

_IMPORTING_SECONDS = 0.5
_GONE = "the process that it was forked from was ended"
_open: Nursery | None = None


def launcher(preload: Sequence[str], events: Events) -> Launch:
    """Starts tasks in forks of the one nursery there is; in a new one, if that was ended."""
    return lambda number, task: _nursery(preload).launch(number, task, events)


def begin(preload: Sequence[str]) -> None:
    """Open the nursery before there is a task: it imports beside what muaudit itself has to import first."""
    _nursery(preload)


def _nursery(preload: Sequence[str]) -> Nursery:
    global _open
    if _open is None or _open.gone or not (_open.count or _open.preload.issuperset(preload)):
        if _open is None:
            scopes.closers.append(_close)
        else:
            _open.close()
        _open = Nursery(preload)
    return _open


def _close() -> None:
    global _open
    if _open is not None:
        _open.close()
    _open = None


class Nursery:
    """A nursery and the children that it was asked for."""

    def __init__(self, preload: Sequence[str]) -> None:
        _open_standard_descriptors()
        self.socket, theirs = socket.socketpair()
        with theirs:
            self.pid = _forked(self.socket, theirs, preload) if _can_be_forked() else _started(theirs, preload)
        self.links: dict[int, ForkedLink] = {}
        self.preload = frozenset(preload)
        self.count, self.ready, self.gone = 0, False, False
        in_thread(self._listen)

    def launch(self, number: int, task: Task, events: Events) -> ForkedLink:
        """Ask for a child for this task."""
        self.count += 1
        messages, theirs = socket.socketpair()
        read, write = (None, None) if task.silent else os.pipe()
        link = ForkedLink(
            self, self.count, number, events, messages, None if read is None else Printed(read, task.name)
        )
        self.links[self.count] = link
        listen(messages.makefile("rb"), number, events)
        descriptors = [theirs.fileno(), *([] if write is None else [write])]
        try:
            self.send(("start", self.count, pickle.dumps(task)), descriptors)
        except OSError:
            link.ended("lost", _GONE)
        finally:
            theirs.close()
            if write is not None:
                os.close(write)
        return link

    def send(self, message: tuple[Any, ...], descriptors: Sequence[int] = ()) -> None:
        """Raises OSError where the nursery has ended."""
        data = pickle.dumps(message)
        socket.send_fds(self.socket, [len(data).to_bytes(nursery.HEADER, "big")], list(descriptors))
        self.socket.sendall(data)

    def close(self) -> None:
        """End it with everything it has forked, and wait for that; one that is still importing is not waited for."""
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        patience = time.monotonic() + (_IMPORTING_SECONDS if self.count else 0.0)
        with suppress(ChildProcessError):
            while not self.ready and os.waitpid(self.pid, os.WNOHANG)[0] == 0:
                if time.monotonic() > patience:
                    os.kill(self.pid, signal.SIGKILL)
                    break
                time.sleep(0.01)
            os.waitpid(self.pid, 0)
        self.socket.close()

    def _listen(self) -> None:
        with suppress(OSError, ValueError), self.socket.makefile("rb") as file:
            for line in file:
                self._heard(json.loads(line))
        self.gone = True
        for link in list(self.links.values()):
            if link.pid is not None:
                kill_session(link.pid)
            link.ended("lost", _GONE)

    def _heard(self, event: dict[str, Any]) -> None:
        link = self.links.get(event.get("child", 0))
        if event["kind"] == "ready":
            self.ready = True
        elif link is not None and event["kind"] == "started":
            link.pid = event["value"]
            link.events.put(Event("started", link.number))
        elif link is not None:
            link.ended(event["kind"], event["value"])


class ForkedLink:
    """One child of a nursery's: its name there, the number of its task, and where its events go."""

    def __init__(
        self, home: Nursery, name: int, number: int, events: Events, messages: socket.socket,
        printed: Printed | None,
    ) -> None:  # fmt: skip
        self.home, self.name, self.number, self.events = home, name, number, events
        self.messages, self.printed = messages, printed
        self.pid: int | None = None

    def ended(self, kind: Any, value: Any) -> None:
        if self.home.links.pop(self.name, None) is not None:
            self.events.put(Event(kind, self.number, value))

    def interrupt(self) -> None:
        if self.pid is not None:
            with suppress(OSError):
                os.kill(self.pid, signal.SIGINT)

    def kill(self) -> None:
        with suppress(OSError):
            self.home.send(("kill", self.name))

    def hang_up(self) -> None:
        with suppress(OSError):
            self.messages.shutdown(socket.SHUT_RD)

    def close(self, lost: bool) -> None:
        self.messages.close()
        if self.printed is not None:
            self.printed.tell(lost)


def _can_be_forked() -> bool:
    """Whether this process has run nothing of torch's that a fork would break: several threads, or an accelerator."""
    torch = sys.modules.get("torch")
    return torch is None or (torch.get_num_threads() == 1 and not torch.cuda.is_initialized())


def _forked(ours: socket.socket, theirs: socket.socket, preload: Sequence[str]) -> int:
    parent = os.getpid()
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads: ours hold nothing while they wait
        pid = os.fork()
    if pid == 0:
        try:
            ours.close()
            nursery.serve(theirs, parent, preload)
        finally:
            os._exit(1)
    return pid


def _started(theirs: socket.socket, preload: Sequence[str]) -> int:
    code = "from muaudit.isolation.nursery import main; main()"
    arguments = [str(theirs.fileno()), str(os.getpid()), json.dumps(sys.path), json.dumps(list(preload))]
    command = [sys.executable, *interpreter_flags(), "-c", code, *arguments]
    process = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
    process.returncode = 0  # `close` waits for it
    return process.pid


def interpreter_flags() -> list[str]:
    """`-X utf8`, `-W error` and the like, as this interpreter was started with."""
    flags: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    return flags


def _open_standard_descriptors() -> None:
    """Whoever starts muaudit with a standard descriptor closed must not find one of our sockets under its number."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
