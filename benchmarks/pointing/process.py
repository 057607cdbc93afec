"""One command in a process of its own: what it printed, how long it took and how much memory it held."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Ran:
    """How a command ended. seconds: by the clock; processor: of all its threads; mib: the most memory held at once."""

    code: int
    out: str
    err: str
    seconds: float
    processor: float
    mib: float
    late: bool = False


def muaudit(folder: Path, *arguments: str, limit: float, checkout: Path = ROOT) -> Ran:
    """Run muaudit of `checkout` in `folder`, as a new user would; end it, with all that it started, after `limit` s."""
    path = os.pathsep.join(filter(None, (str(checkout), os.environ.get("PYTHONPATH"))))
    env = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        start = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "muaudit", *arguments], cwd=folder, env=env, stdout=out, stderr=err,
            stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        late = threading.Event()

        def end() -> None:
            late.set()
            os.killpg(process.pid, signal.SIGKILL)

        clock = threading.Timer(limit, end)
        clock.start()
        _, status, used = os.wait4(process.pid, 0)
        clock.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - start
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode(errors="replace"))
    processor = used.ru_utime + used.ru_stime
    return Ran(process.returncode, *texts, seconds, processor, used.ru_maxrss / 1024, late.is_set())
