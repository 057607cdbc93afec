"""A plan through torch.compile with inductor (needs a C++ compiler), DDP and FSDP2 on two CPU processes.

    python benchmarks/convert_applied.py

Trains the subjects of tests/test_convert_applied.py and prints by how much the losses differ from the plain run.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
import test_convert_applied as applied  # noqa: E402


def apart(found: list[float], name: str) -> str:
    plain = applied.plain(name)
    largest = max(abs(a - b) / abs(b) for a, b in zip(found, plain, strict=True))
    return f"losses differ from the plain run by {largest:.1e} relative ({plain[0]:.3f} → {plain[-1]:.3f})"


def main() -> None:
    for name in applied.SUBJECTS:
        applied.plain(name)
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    with tempfile.TemporaryDirectory() as folder:
        workers = [context.Process(target=applied.distributed, args=(rank, folder, answers)) for rank in range(2)]
        for worker in workers:
            worker.start()
        found = [answers.get(timeout=300) for _ in workers]
        for worker in workers:
            worker.join()
    for (name, way), losses in found[0].items():
        print(f"{name:9} {way:14} {apart(losses, name)}", flush=True)
    for name in applied.SUBJECTS:
        start = time.perf_counter()
        model = applied.subject(name)[1].apply_(applied.fresh(name))
        compiled: torch.nn.Module = torch.compile(model, backend="inductor", fullgraph=True)  # type: ignore[assignment]
        print(f"{name:9} {'inductor':14} {apart(applied.train(compiled, name), name)}, "
              f"{time.perf_counter() - start:.0f} s", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
