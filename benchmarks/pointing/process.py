"""One command in a process of its own: what it printed, how long it took and how much memory it held."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GIB = 12
"""More address space than this is refused to a process: torch alone asks for some three."""
MEASURED = Path(__file__).with_name("measured.py")


@dataclass(frozen=True)
class Ran:
    """How a command ended. seconds: by the clock; processor: of all its processes; mib: the most that one held."""

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
    with tempfile.TemporaryDirectory(prefix="measured-") as kept:
        used, out, err = (Path(kept) / name for name in ("used", "out", "err"))
        command = [sys.executable, str(MEASURED), str(used), str(GIB), str(limit)]
        start = time.perf_counter()
        with out.open("wb") as stdout, err.open("wb") as stderr:
            subprocess.run(
                [*command, sys.executable, "-m", "muaudit", *arguments], cwd=folder, env=env, stdout=stdout,
                stderr=stderr, stdin=subprocess.DEVNULL, start_new_session=True, check=True,
            )  # fmt: skip
        seconds = time.perf_counter() - start
        code, processor, kib, late = (float(each) for each in used.read_text(encoding="utf-8").split())
        texts = [each.read_bytes().decode(errors="replace") for each in (out, err)]
    return Ran(int(code), *texts, seconds, processor, kib / 1024, bool(late))
