"""A plan of many entries: how reading it, applying it and grouping by it grow with their number.

    python benchmarks/plan_speed.py [--entries 1000,10000]

Prints seconds of processor time, and the ratio of each line to the first: ten times the entries should take ten times
as long. A plan as `muaudit convert` writes it is folded by pattern; this one has an entry for every tensor, the worst
there is, and then one with a `*` for every tensor of a block.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from muaudit.plan.file import load_plan, plan_text
from muaudit.plan.plan import Plan
from muaudit.plan.scales import Entry, Hook

WIDTH = 4
PER_LAYER = 5


def plan_of(layers: int, folded: bool) -> Plan:
    """A plan for `model_of(layers)`. folded: one entry for the tensors of all blocks by one name."""
    numbers: Sequence[Any] = ["*"] if folded else range(layers)
    entries = tuple(
        Entry(f"blocks.{number}.part{part}.weight", ("hidden",), ("n", "n"), lr=-1.0, weight_decay=1.0, eps=-1.0)
        for number in numbers
        for part in range(PER_LAYER)
    )
    hooks = (Hook("blocks.*.part0", "input", -0.5),)
    return Plan("model.py", "width", 2, WIDTH, "adamw", entries, hooks)


def model_of(layers: int) -> nn.Module:
    """Blocks of small layers."""

    def block() -> nn.Module:
        return nn.ModuleDict({f"part{part}": nn.Linear(WIDTH, WIDTH, bias=False) for part in range(PER_LAYER)})

    return nn.ModuleDict({"blocks": nn.ModuleList([block() for _ in range(layers)])})


def timed(work: Callable[[], Any]) -> float:
    """Seconds of processor time."""
    begun = time.process_time()
    work()
    return time.process_time() - begun


def measured(layers: int, folded: bool) -> dict[str, float]:
    """What one plan takes, by what is done."""
    plan = plan_of(layers, folded)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "plan.yaml"
        path.write_text(plan_text(plan), encoding="utf-8")
        found = {"load_plan": timed(lambda: load_plan(path))}
    model = model_of(layers)
    found["apply_"] = timed(lambda: plan.apply_(model))
    found["param_groups"] = timed(lambda: plan.param_groups(model, lr=0.1))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", default="1000,10000", help="numbers of entries")
    args = parser.parse_args()
    counts = [int(each) for each in args.entries.split(",")]
    measured(10, False)  # warm
    for folded in (False, True):
        print("one entry a tensor" if not folded else f"{PER_LAYER} entries with a *, for as many tensors")
        rows = {count: measured(count // PER_LAYER, folded) for count in counts}
        for count, row in rows.items():
            cells = [f"{name} {taken:.2f} s ({taken / rows[counts[0]][name]:.1f}x)" for name, taken in row.items()]
            print(f"  {count:>6,} tensors: {', '.join(cells)}")


if __name__ == "__main__":
    main()
