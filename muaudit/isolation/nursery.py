"""The process that children are forked from. It imports torch, runs none of the user's code, and waits.

It is a fork of muaudit itself where that has run nothing of torch's yet, else a fresh interpreter (`forked.py`). Over
one socket it gets tasks (pickled, with the descriptors of a child) and is told which child to end; it tells of children
that have started and ended, as JSON, a line each. The end of the socket is the end of muaudit.
"""

from __future__ import annotations

import gc
import json
import os
import pickle
import selectors
import signal
import socket
import sys
import weakref
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NoReturn

from muaudit.isolation import child
from muaudit.isolation.processes import adopt_orphans, end_with_parent, kill_children, kill_session, outlive_parent

_COLLECTIONS = (10_000, 10, 10)
"""Python's are ten times as often: a tenth of an audit is then spent on looking for what little there is in circles."""
HEADER = 8  # bytes of a message to the nursery: the length of what follows


def main() -> NoReturn:
    """Be the nursery in an interpreter of its own."""
    descriptor, parent, path, preload = sys.argv[1:]
    sys.path[:] = json.loads(path)
    serve(socket.socket(fileno=int(descriptor)), int(parent), json.loads(preload))


def serve(control: socket.socket, parent: int, preload: Sequence[str]) -> NoReturn:
    """Be the nursery until muaudit ends."""
    os.setsid()  # what the terminal and the shell send to muaudit is muaudit's to pass on
    end_with_parent(parent)
    adopt_orphans()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.dup2(2, 1)
    gc.collect()  # what was let go before the fork keeps no file open or mapped; before torch, whose objects all stay
    gc.disable()  # what is imported stays: collections on the way take a tenth of the time and find next to nothing
    child.prepare(preload)
    for each in list(weakref.finalize._registry):  # type: ignore[attr-defined]
        each.atexit = False  # of libraries, for children that are gone at once: torch takes out its operators singly
    gc.freeze()  # a collection in a child would touch, and so copy, all that is here
    gc.enable()
    gc.set_threshold(*_COLLECTIONS)
    outlive_parent()  # from here on the end of the socket tells, and there is time to end the others
    try:
        if os.getppid() == parent:
            _Loop(control).run()
    finally:
        kill_children()
        os._exit(0)


class _Loop:
    """Forks, kills and buries children."""

    def __init__(self, control: socket.socket) -> None:
        self.control = control
        self.running: dict[int, int] = {}  # pid → number of the task
        self.woken, wake = os.pipe()
        for descriptor in (self.woken, wake):
            os.set_blocking(descriptor, False)
        self.wake = wake
        signal.signal(signal.SIGCHLD, lambda *args: None)
        signal.set_wakeup_fd(wake)

    def run(self) -> None:
        selector = selectors.DefaultSelector()
        selector.register(self.control, selectors.EVENT_READ)
        selector.register(self.woken, selectors.EVENT_READ)
        self._tell("ready")
        while True:
            ready = [key.fileobj for key, _ in selector.select()]
            if self.woken in ready:
                with suppress(BlockingIOError):
                    os.read(self.woken, 4096)
                self._bury()
            if self.control in ready and not self._obey():
                return

    def _obey(self) -> bool:
        """One message; False at the end of the socket."""
        try:
            header, descriptors, _, _ = socket.recv_fds(self.control, HEADER, 2)
            message = pickle.loads(_read(self.control, int.from_bytes(header, "big"))) if header else None
        except (OSError, EOFError):
            return False
        if message is None:
            return False
        if message[0] == "start":
            self._fork(message[1], message[2], descriptors)
        else:
            for pid, number in self.running.items():
                if number == message[1]:
                    kill_session(pid)
        return True

    def _fork(self, number: int, payload: bytes, descriptors: Sequence[int]) -> None:
        parent = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:
            self._tell("lost", number, f"no process could be started: {error.strerror or error}")
            pid = -1
        if pid == 0:
            signal.set_wakeup_fd(-1)
            for each in (signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
                signal.signal(each, signal.SIG_DFL)
            self.control.close()
            os.close(self.woken)
            os.close(self.wake)
            child.work(payload, descriptors[0], descriptors[1] if len(descriptors) > 1 else None, parent)
        for descriptor in descriptors:
            os.close(descriptor)
        if pid > 0:
            self.running[pid] = number
            self._tell("started", number, pid)

    def _bury(self) -> None:
        """Children that have ended: first whatever they have left running, then themselves."""
        for pid, number in list(self.running.items()):
            if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                kill_session(pid)
                _, status = os.waitpid(pid, 0)
                del self.running[pid]
                self._tell("ended", number, os.waitstatus_to_exitcode(status))
        self._bury_orphans()

    def _bury_orphans(self) -> None:
        while True:
            try:
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if found is None or found.si_pid in self.running:
                return
            os.waitpid(found.si_pid, 0)

    def _tell(self, kind: str, number: int = 0, value: Any = None) -> None:
        with suppress(OSError):
            self.control.sendall(json.dumps({"kind": kind, "child": number, "value": value}).encode() + b"\n")


def _read(control: socket.socket, size: int) -> bytes:
    """Exactly so many bytes. Raises EOFError where they end before."""
    data = bytearray()
    while len(data) < size:
        more = control.recv(min(size - len(data), 1 << 20))
        if not more:
            raise EOFError
        data += more
    return bytes(data)
