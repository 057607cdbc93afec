"""What only the system can do about processes: let them end together. Linux can do all of it, other systems less."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress

LINUX = sys.platform.startswith("linux")
_PDEATHSIG, _CHILD_SUBREAPER = 1, 36  # <sys/prctl.h>


def end_with_parent(parent: int) -> None:
    """Let this process be killed when its parent ends. parent: who that is; it may have ended already."""
    _prctl(_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def outlive_parent() -> None:
    """Take `end_with_parent` back."""
    _prctl(_PDEATHSIG, 0)


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own has ended, so that none escapes `kill_children`."""
    _prctl(_CHILD_SUBREAPER, 1)


def first_when_memory_ends() -> None:
    """Let the kernel end this process rather than another one when memory is short."""
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("900")


def kill_session(leader: int) -> None:
    """Kill a process, its process group, and all others of the session that it leads or led."""
    for send in (os.kill, os.killpg):
        with suppress(OSError):
            send(leader, signal.SIGKILL)
    for pid, _, session in _processes():
        if session == leader:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)


def kill_children() -> None:
    """Kill all children of this process, and theirs as they are adopted, until none is left."""
    own = os.getpid()
    while True:
        for pid in [pid for pid, parent, _ in _processes() if parent == own]:
            kill_session(pid)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _processes() -> Iterator[tuple[int, int, int]]:
    """(pid, parent, session) of every process; none where the system has no /proc."""
    names = os.listdir("/proc") if LINUX else []
    for name in names:
        if name.isdigit():
            with suppress(OSError, ValueError), open(f"/proc/{name}/stat", "rb") as file:
                # The command stands in parentheses and may hold anything.
                _, parent, _, session = file.read().rpartition(b")")[2].split()[:4]
                yield int(name), int(parent), int(session)


def _prctl(option: int, value: int) -> None:
    if LINUX:
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)
