"""The verdict and the findings of every fixture, a line each, to be held against those under another version of torch.

    python benchmarks/fixture_verdicts.py > one.txt    # then with another torch > other.txt, and diff one.txt other.txt

A line has the exit code, the verdict, how many tensors were judged, and each finding's rule with its number of tensors.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import torch

FIXTURES = Path("fixtures")


def main() -> None:
    """Audit every Python file and every published configuration in fixtures/."""
    print(f"torch {torch.__version__}", file=sys.stderr)
    targets = [*sorted(FIXTURES.glob("*/*.py")), *sorted(path.parent for path in FIXTURES.glob("hf/*/config.json"))]
    for target in targets:
        print(target, line(target), flush=True)


def line(target: Path) -> str:
    """`1 standard 28/28 MUP101×8 MUP301×8`, or what kept the audit from being made."""
    command = [sys.executable, "-m", "muaudit", "check", str(target), "--no-cache", "--format", "json"]
    done = subprocess.run(command, capture_output=True, text=True)
    if not done.stdout:
        return f"{done.returncode} {done.stderr.strip().splitlines()[-1]}"
    report = json.loads(done.stdout)
    rules = sorted(f"{each['rule']}×{len(each['tensors'])}" for each in (*report["violations"], *report["unanalysed"])
                   if "tensors" in each or each.setdefault("tensors", []) == [])  # fmt: skip
    covered = report["coverage"]
    return f"{done.returncode} {report['verdict']} {covered['judged']}/{covered['tensors']} {' '.join(rules)}"


if __name__ == "__main__":
    main()
