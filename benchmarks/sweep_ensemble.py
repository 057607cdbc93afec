"""Learning rates trained as one ensemble against the same runs one after another: their losses, and the time of both.

    python benchmarks/sweep_ensemble.py                      # 16 learning rates on the CPU, at widths 64 and 256
    python benchmarks/sweep_ensemble.py --device cuda --widths 256,1024
    python benchmarks/sweep_ensemble.py --model mlp

Times are medians of interleaved rounds. What a round trains is what `muaudit sweep` trains for one width.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"
MODELS: dict[str, dict[str, Any]] = {
    "gpt": {
        "target": str(FIXTURES / "gpt" / "sp.py"),
        "set": ("n_layer=2", "n_head=4", "vocab_size=96", "block_size=32"),
        "input": ("int64[2,32]",),
        "batch_size": 8,
    },
    "mlp": {"target": str(FIXTURES / "mlp" / "sp.py"), "optimizer": "sgd", "data": "teacher", "batch_size": 32},
}
RATES = [2.0**k for k in range(-14, -6)] + [1.5 * 2.0**k for k in range(-14, -6)]


def measure(model: str, width: int, device: str, dtype: str, steps: int, rounds: int) -> None:
    """Print the times and the largest difference of the losses at one width."""
    from muaudit.sweep.sweep_request import SweepRequest
    from muaudit.sweep.sweep_task import variants_of
    from muaudit.sweep.train import train_unit
    from muaudit.sweep.trainings import Training, TrainingOutcome, Unit

    request = SweepRequest(widths=f"{width},{2 * width}", steps=steps, device=device, dtype=dtype, **MODELS[model])
    _, (variant,), settings, _ = variants_of(request)
    jobs = [Training(variant.name, width, 0, (("lr", rate),)) for rate in RATES]

    def timed(units: list[Unit]) -> tuple[float, list[TrainingOutcome]]:
        start = time.perf_counter()
        found = [outcome for unit in units for outcome in train_unit(variant, unit, settings, note=print)]
        return time.perf_counter() - start, found

    timed([Unit((jobs[0],))])  # the first run pays for what is made once
    seconds: dict[str, list[float]] = {"one": [], "apart": [], "together": []}
    ends: dict[str, list[TrainingOutcome]] = {}
    for _ in range(rounds):
        for name, units in (("one", [Unit((jobs[0],))]), ("apart", [Unit((job,)) for job in jobs]),
                            ("together", [Unit(tuple(jobs))])):  # fmt: skip
            taken, ends[name] = timed(units)
            seconds[name].append(taken)
    one, apart, together = (statistics.median(times) for times in seconds.values())
    worst = max(
        abs(a.loss - b.loss) / abs(a.loss) if a.loss is not None and b.loss is not None else float(a.loss != b.loss)
        for a, b in zip(ends["apart"], ends["together"], strict=True)
    )
    print(
        f"{model}, width {width}, {device} {dtype}, {len(jobs)} learning rates, {steps} steps: together "
        f"{together / apart:.2f}x the time of apart, {together / one:.1f}x that of one "
        f"({one:.2f} s, {apart:.2f} s apart, {together:.2f} s together); losses differ by at most {worst:.1e} of them",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=sorted(MODELS), default="gpt")
    parser.add_argument("--widths", default="64,256")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="fp32")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    for width in map(int, given.widths.split(",")):
        measure(given.model, width, given.device, given.dtype, given.steps, given.rounds)


if __name__ == "__main__":
    main()
