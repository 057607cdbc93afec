"""Odd models and hostile files, each kind of them: does every one have an answer?

    python benchmarks/hostile.py                     # all of them, in a minute or two
    python benchmarks/hostile.py --kind frozen       # those of some kinds

*Held*: a model has a verdict, or one message that says what must be said of it; a file is refused in one message that
names it, or read where it is harmless. Nothing ends in a traceback, and nothing takes longer than `--patience` seconds.
Prints what did not hold, then the table of docs/validation.md.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

os.environ.setdefault("OMP_NUM_THREADS", "1")

from odd import case, files, models


@dataclass
class Kind:
    """How many were tried and held, and the seconds of the slowest."""

    tried: int = 0
    held: int = 0
    slowest: float = 0.0


class Late(BaseException):
    """It took too long."""


def outcomes(wanted: str) -> Iterator[tuple[str, str, bool, float, str]]:
    """(kind, name, held, seconds, message) of each."""
    for odd in models.corpus():
        if wanted in odd.kind:
            said = case.tried(odd)
            yield odd.kind, odd.name, said.fits(odd), said.seconds, said.message
    for hostile in files.corpus():
        if wanted in hostile.kind:
            with tempfile.TemporaryDirectory() as folder:
                answer = files.tried(hostile, Path(folder))
            yield hostile.kind, hostile.name, answer.fits(hostile), answer.seconds, answer.message


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", default="", help="a part of a kind's name")
    parser.add_argument("--patience", type=int, default=60)
    args = parser.parse_args()

    def late(number: int, frame: FrameType | None) -> None:
        raise Late(f"no answer within {args.patience} s")

    signal.signal(signal.SIGALRM, late)
    kinds: dict[str, Kind] = {}
    signal.alarm(args.patience)
    for kind, name, held, seconds, message in outcomes(args.kind):
        signal.alarm(args.patience)
        found = kinds.setdefault(kind, Kind())
        found.tried, found.held = found.tried + 1, found.held + held
        found.slowest = max(found.slowest, seconds)
        if not held:
            print(f"{kind}: {name}: {' '.join(message.split())[:200]}", flush=True)
    signal.alarm(0)
    print("| kind | tried | held |\n|---|---|---|")
    for kind, found in kinds.items():
        print(f"| {kind} | {found.tried} | {found.held} |")
    tried, held = (sum(getattr(each, what) for each in kinds.values()) for what in ("tried", "held"))
    print(f"| all | {tried} | {held} |")
    print(f"slowest: {max(each.slowest for each in kinds.values()):.1f} s")
    sys.exit(0 if tried == held else 1)


if __name__ == "__main__":
    main()
