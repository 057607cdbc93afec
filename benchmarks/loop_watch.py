"""What `muaudit.watch` costs in a loop: one step in `every` is measured, in turns with a bare loop.

python benchmarks/loop_watch.py [width] [every]
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from statistics import median

os.environ.setdefault("OMP_NUM_THREADS", "1")
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
from test_convert import target_of  # noqa: E402

import muaudit  # noqa: E402


def main(width: int = 256, every: int = 100, turns: int = 15) -> None:
    target = target_of("gpt", "adamw")
    sizes = {target.axes[0].name: width}
    model = target.build(sizes, 0)
    optimizer = target.optimizer(model, sizes)
    tokens = torch.randint(32, (8, 32))

    def step() -> float:
        start = time.perf_counter()
        optimizer.zero_grad()
        model(tokens, tokens)[1].backward()
        optimizer.step()
        return time.perf_counter() - start

    for _ in range(3):
        step()
    bare, measured = [], []
    for _ in range(turns):
        bare += [step() for _ in range(2)]
        watched = muaudit.watch(model, optimizer, every=1)
        step()  # the first one is looked at in full
        measured += [step() for _ in range(2)]
        watched.remove()
    plain, extra = median(bare), median(measured) - median(bare)
    print(f"width {width}: a step takes {1e3 * plain:.1f} ms, a measured one {1e3 * extra:.1f} ms more: "
          f"every {every} steps {100 * extra / plain / every:.2f} % of the run")  # fmt: skip


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
