"""How long an unchanged second check takes, as a ratio measured side by side with `import torch`: whole processes.

    python benchmarks/cache_speed.py [TARGET]

Prints the median of the ratios of interleaved runs; the aim is below 0.25. Both sides have their bytecode, as installed
packages do, whatever PYTHONDONTWRITEBYTECODE says.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RUNS = 15


def seconds(arguments: list[str], cache: str) -> float:
    """The wall time of a Python process."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MUAUDIT_CACHE_DIR": cache}
    environment |= {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": f"{cache}/bytecode"}
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, check=False)
    return time.perf_counter() - start


def main() -> None:
    """Fill the cache, then measure."""
    target = sys.argv[1] if len(sys.argv) > 1 else "fixtures/gpt/sp.py"
    with tempfile.TemporaryDirectory() as cache:
        check = ["-m", "muaudit", "check", target]
        first = seconds(check, cache)
        pairs = [(seconds(check, cache), seconds(["-c", "import torch"], cache)) for _ in range(RUNS + 1)][1:]
    ratio = statistics.median(again / torch for again, torch in pairs)
    again, torch = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(f"{target}: first {first:.2f} s, unchanged {again:.3f} s, import torch {torch:.3f} s: ratio {ratio:.3f}")


if __name__ == "__main__":
    main()
