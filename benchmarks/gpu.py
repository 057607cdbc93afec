"""What muaudit does on an accelerator, in ten minutes: run it on the day one is at hand, and keep what it prints.

    python benchmarks/gpu.py                     # on the accelerator that torch finds
    python benchmarks/gpu.py --small             # a minute on the CPU, for the script itself

Coordinate checks of the GPT fixture to width 8192, in fp32 and bf16, as it comes and converted; eight seeds trained
together against one; sixteen learning rates together against one. Each part has its share of the time: a width that
would take more than what is left is not begun, and one that does not fit into memory is dropped and said.
"""

from __future__ import annotations

import argparse
import gc
import os
import platform
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", str(min(8, os.cpu_count() or 1)))

import torch

from muaudit.convert.planner import make_plan
from muaudit.errors import UserError
from muaudit.plan.planned import planned
from muaudit.sweep.sweep_request import SweepRequest
from muaudit.sweep.sweep_task import carry_out
from muaudit.targets import TargetOptions, parse_inputs, parse_set, parse_widths, resolve
from muaudit.targets.probe import Target
from muaudit.training.measure import measure
from muaudit.training.run_settings import RunSettings
from muaudit.training.verdict import judge

FIXTURE = Path(__file__).resolve().parent.parent / "fixtures" / "gpt" / "sp.py"


@dataclass(frozen=True)
class Sizes:
    """How large everything is. seconds: what all of it may take."""

    widths: tuple[int, ...]
    dtypes: tuple[str, ...]
    steps: int
    seeds: int
    seed_width: int
    rates: int
    sweep_width: int
    sweep_steps: int
    seconds: float
    input: str = "int64[8,128]"


LARGE = Sizes((256, 512, 1024, 2048, 4096, 8192), ("fp32", "bf16"), 5, 8, 512, 16, 256, 100, 600)
SMALL = Sizes((32, 64), ("fp32", "bf16"), 2, 2, 32, 2, 32, 20, 120, "int64[2,16]")


def target_of(sizes: Sizes) -> Target:
    """The fixture, its heads growing in number with the width."""
    options = TargetOptions(
        widths=parse_widths([f"n_embd={sizes.widths[0]},{sizes.widths[1]}"]),
        set=parse_set(["n_layer=2", "vocab_size=512", "block_size=128", "n_head=4", "dropout=0.0"]),
        inputs=parse_inputs([sizes.input]),
    )
    return resolve(str(FIXTURE), options)


def timed(work: Callable[[], Any], device: str) -> tuple[Any, float]:
    """What it returns, and the seconds until the device had done it."""
    gc.collect()
    begun = time.perf_counter()
    found = work()
    if torch.device(device).type != "cpu":
        torch.accelerator.synchronize()
    return found, time.perf_counter() - begun


class Clock:
    """What is left of the time."""

    def __init__(self, seconds: float) -> None:
        self.end = time.perf_counter() + seconds

    @property
    def left(self) -> float:
        """Seconds."""
        return self.end - time.perf_counter()


def check_widths(target: Target, device: str, dtype: str, sizes: Sizes, clock: Clock, share: float) -> None:
    """Coordinate checks to the widest width that the time allows: four times as long for twice the width."""
    limit, widths, spent = clock.left * share, sizes.widths[:2], 0.0
    settings = RunSettings(widths, sizes.steps, 1, 0, device, dtype)
    while True:
        try:
            run, spent = timed(partial(measure, target, replace(settings, widths=widths)), device)
        except UserError as error:
            print(f"  {dtype} to {widths[-1]}: {str(error).splitlines()[0]}")
            return
        limit -= spent
        more = sizes.widths[len(widths) : len(widths) + 1]
        if not more or 5 * spent > limit:
            break
        widths = (*widths, *more)
    verdict = judge(run)
    said = "" if not run.notices else f"; {'; '.join(run.notices)}"
    print(f"  {dtype} to {run.widths[-1]}: {verdict.status}, {spent:.1f} s{said}", flush=True)


def seeds_together(target: Target, device: str, sizes: Sizes) -> None:
    """Eight seeds as one ensemble against one seed, and against eight one after another."""
    widths = (sizes.seed_width, 2 * sizes.seed_width)
    settings = RunSettings(widths, sizes.steps, 1, 0, device, "fp32")

    def run(seeds: int, together: bool) -> float:
        return timed(lambda: measure(target, replace(settings, seeds=seeds, together=together)), device)[1]

    run(1, False)  # warm
    one, many, apart = run(1, False), run(sizes.seeds, True), run(sizes.seeds, False)
    print(f"  {sizes.seeds} seeds together at {widths[0]}, {widths[1]}: {many / one:.2f}x of one ({one:.2f} s), "
          f"{many / apart:.2f}x of {sizes.seeds} one after another")  # fmt: skip


def rates_together(device: str, sizes: Sizes) -> None:
    """Sixteen learning rates as one ensemble against one rate."""
    width = sizes.sweep_width

    def run(rates: int, together: int) -> float:
        with tempfile.TemporaryDirectory() as folder:
            request = SweepRequest(
                str(FIXTURE), widths=f"{width},{2 * width}", seeds=1, steps=sizes.sweep_steps, device=device,
                lr=",".join(f"{2.0**-12 * 1.15**k:.6g}" for k in range(rates)), together=together, lost=1.0,
                set=("n_layer=2", "vocab_size=512", "block_size=128", "n_head=4"), input=(sizes.input,),
                results=Path(folder) / "results.jsonl", data="text",
            )  # fmt: skip
            return timed(lambda: carry_out(request), device)[1]

    run(1, 1)  # warm
    one, many = run(1, 1), run(sizes.rates, sizes.rates)
    print(f"  {sizes.rates} learning rates together at {width}, {2 * width}: {many / one:.2f}x of one ({one:.2f} s)")


def named(device: str) -> str:
    """The device in words."""
    kind = torch.device(device).type
    if kind == "cuda":
        free, total = torch.cuda.mem_get_info()
        return f"{torch.cuda.get_device_name()}, {total / 2**30:.0f} GiB ({free / 2**30:.0f} free)"
    return f"{device}, {platform.processor() or platform.machine()}, {torch.get_num_threads()} threads"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", help="the accelerator that torch finds, else the CPU")
    parser.add_argument("--small", action="store_true", help="small sizes")
    parser.add_argument("--seconds", type=float, help="what all of it may take")
    args = parser.parse_args()
    found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    device = args.device or (found.type if found is not None else "cpu")
    sizes = SMALL if args.small else LARGE
    clock = Clock(args.seconds or sizes.seconds)
    print(f"{named(device)}; torch {torch.__version__}", flush=True)
    own = target_of(sizes)
    converted = planned(own, make_plan(own, sizes.widths[0], sizes.widths[-1]))
    share = 0.7 / (2 * len(sizes.dtypes))
    for target, label in ((own, "as it comes"), (converted, "converted")):
        print(f"coordinate check, {label}")
        for dtype in sizes.dtypes:
            check_widths(target, device, dtype, sizes, clock, share)
    print("together")
    seeds_together(own, device, sizes)
    rates_together(device, sizes)
    print(f"{(args.seconds or sizes.seconds) - clock.left:.0f} s in all")


if __name__ == "__main__":
    main()
