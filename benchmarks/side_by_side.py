"""Audits of all fixtures over width, by this checkout and by another one in turns: what they say, and CPU seconds.

    git worktree add --detach ../before f98e72e
    python benchmarks/side_by_side.py ../before

Prints where verdict, errors and warnings or exit code differ, and the ratio of the CPU seconds, new over old.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def audited(checkout: Path, fixture: str) -> tuple[Any, float]:
    """Verdict, findings and exit code; and CPU seconds of the whole process."""
    before = _used()
    done = subprocess.run(
        [sys.executable, "-m", "muaudit", "check", fixture, "--format", "json", "--no-cache"],
        cwd=checkout, env={**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True,
    )  # fmt: skip
    seconds = _used() - before
    if not done.stdout:
        return (done.stderr.splitlines()[:1], done.returncode), seconds
    report = json.loads(done.stdout)
    found = sorted(
        (each["rule"], each["severity"], tuple(each["tensors"])) for each in report["violations"]
        if each["severity"] != "advice"  # of which there is more today
    )  # fmt: skip
    return (report["verdict"], found, done.returncode), seconds


def _used() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main(other: Path) -> None:
    configs = [path.parent for path in (other / "fixtures" / "hf").rglob("config.json")]
    files = [path for path in (other / "fixtures").rglob("*.py") if "__pycache__" not in path.parts]
    ratios, same = [], 0
    fixtures = sorted(str(path.relative_to(other)) for path in (*files, *configs))
    for number, fixture in enumerate(fixtures):
        order = (other, ROOT) if number % 2 else (ROOT, other)
        found = {checkout: audited(checkout, fixture) for checkout in order}
        same += found[other][0] == found[ROOT][0]
        ratios.append(found[ROOT][1] / found[other][1])
        if found[other][0] != found[ROOT][0]:
            print(f"{fixture}: {found[other][0]} before, {found[ROOT][0]} now")
    print(f"the same verdict, errors, warnings and exit code: {same} of {len(fixtures)}")
    print(f"CPU seconds, new over old: median {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
