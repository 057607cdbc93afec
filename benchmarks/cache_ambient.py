"""What can change between two audits, each kind of it once: does the cache notice?

    python benchmarks/cache_ambient.py

Loads a small model file in a process of its own as an audit does, changes one thing, and compares what the record of
the first says with what a second computes. *Stale*: it would have answered although the model computes something else.
Prints each kind, and the table of docs/validation.md.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import torch  # noqa: F401  children are forked from here
from ambient import GROUPS, Outcome, tried


def word(outcome: Outcome) -> str:
    """What the cache makes of it."""
    if outcome.stale:
        return "STALE"
    return "not kept" if outcome.unseen else "noticed" if not outcome.hit else "answers"


def main() -> None:
    """Try them all; exit 1 where one is stale."""
    rows, stale = [], 0
    for group, cases in GROUPS.items():
        words = []
        for case in cases:
            with tempfile.TemporaryDirectory() as folder:
                outcome = tried(case, Path(folder).resolve())
            words.append(word(outcome))
            print(f"{words[-1]:<9} {group}: {case.name}", *outcome.unseen[:1], sep="  ", flush=True)
        counts = [words.count(each) for each in ("noticed", "not kept", "STALE")]
        stale += counts[-1]
        rows.append(f"| {group} | {len(cases)} | {counts[0]} | {counts[1]} | {counts[2]} |")
    print("\n| what changes | tried | noticed | not kept | stale |\n|---|---|---|---|---|", *rows, sep="\n")
    sys.exit(bool(stale))


if __name__ == "__main__":
    main()
