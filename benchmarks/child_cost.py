"""What a process for every target costs: whole commands, measured side by side.

    python benchmarks/child_cost.py [TARGET] [--runs N]

Prints the ratio of `check` as it is over the same audit in the process of the command, by the clock and by the
processors' time, and of one check of eight targets, two at a time, over eight checks of one. The aims are 1.05 and 0.5.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HERE = """
import muaudit.jobs.all_jobs as jobs
from muaudit.__main__ import main
from muaudit.isolation import Done
from muaudit.isolation.child import prepare

def here(tasks, **_):
    prepare(tasks[0].preload)
    return [Done(jobs.audited_data(*task.args)) for task in tasks]

jobs.run_tasks = here
main()
"""
"""The command, with the audit in its own process."""


def seconds(arguments: Sequence[str], folder: Path) -> tuple[float, float]:
    """By the clock, and of the processors: of a Python process and all that it waits for."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONPYCACHEPREFIX": str(folder / "bytecode")}
    environment |= {"PYTHONDONTWRITEBYTECODE": ""}
    begun, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    ended = subprocess.run([sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True)
    if ended.returncode not in (0, 1):
        raise SystemExit(f"{' '.join(arguments)} ends with {ended.returncode}: {ended.stderr}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.perf_counter() - begun, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def child_against_here(target: Path, folder: Path, runs: int) -> None:
    check = ["check", str(target), "--no-cache"]
    apart, here = ["-m", "muaudit", *check], ["-c", HERE, *check]
    pairs = [(seconds(apart, folder), seconds(here, folder)) for _ in range(runs + 1)][1:]  # the first warms up
    for place, clock in enumerate(("by the clock", "processors' time")):
        ratios = sorted(a[place] / b[place] for a, b in pairs)
        print(
            f"check of {target.name} in a child / in the command's process, {clock}: "
            f"{statistics.median(ratios):.3f}x ({ratios[0]:.3f} to {ratios[-1]:.3f} over {runs} pairs)"
        )


def eight_against_one(target: Path, folder: Path, runs: int) -> None:
    lines = [f"  {name}: {{target: {target}}}" for name in "abcdefgh"]
    (folder / "muaudit.yaml").write_text("\n".join(["targets:", *lines, ""]))
    eight, one = ["-m", "muaudit", "check", "--no-cache", "--jobs", "2"], ["-m", "muaudit", "check", "a", "--no-cache"]
    ratios = sorted(seconds(eight, folder)[0] / (8 * seconds(one, folder)[0]) for _ in range(runs))
    print(f"eight targets, two at a time / eight times one: {statistics.median(ratios):.3f}x over {runs} pairs")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", nargs="?", type=Path, default=ROOT / "fixtures" / "gpt" / "sp.py")
    parser.add_argument("--runs", type=int, default=7)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        child_against_here(args.target.resolve(), Path(folder), args.runs)
        eight_against_one(args.target.resolve(), Path(folder), max(1, args.runs // 2))


if __name__ == "__main__":
    main()
