"""Run a command and all that it starts, and write what they used: python measured.py FILE GIB SECONDS COMMAND ...

FILE gets the exit code, the seconds of processor of all processes together, the largest memory of one in KiB, and 1
where it took more than SECONDS, 0 where not. Processes that outlive their parent become children of this one where the
system can do that (Linux): they are counted, and ended with the rest when the time is up. A process that asks for more
than GIB of address space gets none: the machine may be shared.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36


def ended(seconds: float) -> bool:
    """Wait for every child until the time is up, then end those that are left, and theirs; whether that was needed."""
    end, late = time.monotonic() + seconds, False
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, _ = os.waitpid(-1, os.WNOHANG)
            if pid:
                continue
            late = late or time.monotonic() > end
            for child in _children() if late else ():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
            time.sleep(0.05)
    return late


def _children() -> list[int]:
    """Direct children: what they started comes here when they end."""
    mine = []
    for file in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if file.read_text(errors="replace").rpartition(")")[2].split()[1] == str(os.getpid()):
                mine.append(int(file.parent.name))
    return mine


def main() -> None:
    """Run it within its limits, and write the file."""
    file, gib, seconds, *command = sys.argv[1:]
    limit = int(float(gib) * 2**30)
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    process = subprocess.Popen(command, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)))
    try:
        start = time.monotonic()
        code = process.wait(float(seconds))
        late = ended(float(seconds) - (time.monotonic() - start))
    except subprocess.TimeoutExpired:
        process.kill()
        code, late = process.wait(), True
        ended(0)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    text = f"{code} {used.ru_utime + used.ru_stime} {used.ru_maxrss} {int(late)}"
    Path(file).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
