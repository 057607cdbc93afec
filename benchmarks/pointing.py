"""How well does `muaudit check FILE` point itself at code that it has never seen?

    python benchmarks/pointing.py                       # both halves: files written here, sources of installed packages
    python benchmarks/pointing.py --half written --jobs 2
    python benchmarks/pointing.py --only vision --show  # one part, with what each refusal printed
    python benchmarks/pointing.py --json out.json --write docs/coverage.md

Every file is copied alone into an empty folder (or named as `package.module:Class`) and checked with no flags. Where
that is refused, what was printed is pasted, flags or commands or a spec, and run again. Root, width and verdict are
held against benchmarks/pointing/written.yaml and packages.yaml, which were derived by reading the models. A verdict
that differs, a verdict where none is right, a crash, an internal error and a hang count as wrong. The packages that
are not installed (benchmarks/pointing/requirements.txt names them) are told and left out of the count.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

from marked_page import put_between
from pointing.expected import HALVES, Expected, table
from pointing.tables import BEGIN, END, page, row, summary
from pointing.trial import Outcome, tried


def chosen(halves: list[str], pattern: str) -> tuple[list[Expected], list[str]]:
    """The rows to run, and the names of those that cannot be, as their package is not installed."""
    rows: list[Expected] = []
    absent: list[str] = []
    for half in halves:
        found, missing = table(half)
        rows += found
        absent += missing

    def wanted(name: str) -> bool:
        return pattern in name or fnmatch.fnmatch(name, pattern)

    return [each for each in rows if wanted(each.name)], [each for each in absent if wanted(each)]


def report(expected: Expected, outcome: Outcome, show: bool) -> None:
    print(row(expected, outcome), flush=True)
    if show and outcome.outcome != "right":
        for command, said in zip(outcome.commands, outcome.said, strict=True):
            print(f"    $ {command}\n" + "".join(f"    {line}\n" for line in said.splitlines()), flush=True)


def main() -> int:
    """Run, print a line a file and the figures; exit 1 where something was wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--half", choices=HALVES, help="one half only")
    parser.add_argument("--only", default="", metavar="PATTERN", help="files whose name holds or matches this")
    parser.add_argument("--jobs", type=int, default=1, help="files at once; times and memory are best with 1")
    parser.add_argument("--seconds", type=float, default=180, help="end a command after so long: it counts as wrong")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every outcome, with what was printed")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the table into this page of the documentation")
    parser.add_argument("--show", action="store_true", help="print what was said where the first command was not right")
    given = parser.parse_args()
    rows, absent = chosen([given.half] if given.half else list(HALVES), given.only)
    outcomes: list[Outcome] = []
    with ThreadPoolExecutor(given.jobs) as pool:
        for expected, outcome in zip(rows, pool.map(lambda each: tried(each, given.seconds), rows), strict=True):
            outcomes.append(outcome)
            report(expected, outcome, given.show)
            if given.json:
                given.json.write_text(json.dumps([asdict(each) for each in outcomes], indent=1), encoding="utf-8")
    if absent:
        print(f"\nnot installed, left out: {', '.join(absent)}")
    print("\n" + summary(outcomes))
    if given.write:
        put_between(given.write, BEGIN, END, page(rows, outcomes, absent))
    return int(Counter(each.outcome for each in outcomes)["wrong"] > 0)


if __name__ == "__main__":
    sys.exit(main())
