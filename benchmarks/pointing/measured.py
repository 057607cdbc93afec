"""Run a command and everything that it starts, and write what they used: python measured.py FILE GIB COMMAND ...

FILE gets the exit code, the seconds of processor of all processes together and the largest memory of one, in KiB. Where
the system can say so (Linux), processes that outlive their parent are waited for and counted, too. A process that asks
for more than GIB of address space gets none: the machine may be shared.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import subprocess
import sys
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36


def main() -> None:
    """Exit as the command does."""
    file, gib, *command = sys.argv[1:]
    limit = int(float(gib) * 2**30)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    code = subprocess.Popen(command).wait()
    with contextlib.suppress(ChildProcessError):
        while True:
            os.wait()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    Path(file).write_text(f"{code} {used.ru_utime + used.ru_stime} {used.ru_maxrss}", encoding="utf-8")


if __name__ == "__main__":
    main()
