"""What `muaudit coord-check` costs and whether its numbers are right, measured side by side on this machine.

    python benchmarks/coord_check.py overhead                # against the bare training loop it contains
    python benchmarks/coord_check.py floor                   # the same loop with less and less done beside it
    python benchmarks/coord_check.py seeds --seeds 8         # all seeds as one against one after another
    python benchmarks/coord_check.py mup                     # microsoft/mup's get_coord_data: same l1, both times

`--device cuda`, `--widths 128,512,2048,8192`, `--fixture gpt/sp --input 'int64[8,128]'`, `--steps`, `--runs` for the
rest. Ratios are medians of interleaved runs; on a CPU the time is that of the processor, which other programs do not
disturb. `mup` needs `pip install --no-deps mup` and pandas.
"""

from __future__ import annotations

import argparse
import gc
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from muaudit.targets import from_functions, resolve
from muaudit.targets.memory import keep_the_heap
from muaudit.targets.options import TargetOptions, parse_inputs
from muaudit.targets.probe import Target
from muaudit.targets.usercode import seed_everything
from muaudit.training import listener, loop, pass_sizes, update_sizes
from muaudit.training import measure as measuring
from muaudit.training.beforehand import sizes_at
from muaudit.training.logits import Logits
from muaudit.training.loop import Work, look, train
from muaudit.training.measure import measure
from muaudit.training.run_settings import RunSettings

FIXTURES = Path(__file__).parent.parent / "fixtures"


def seconds(action: Callable[[], Any], device: str) -> float:
    clock = time.process_time if device == "cpu" else time.perf_counter
    gc.collect()
    start = clock()
    action()
    if device != "cpu":
        torch.cuda.synchronize()
    return clock() - start


def compared(label: str, ours: Callable[[], Any], theirs: Callable[[], Any], args: argparse.Namespace) -> float:
    """Print and return the median of ours / theirs."""
    pairs = [(seconds(ours, args.device), seconds(theirs, args.device)) for _ in range(args.runs + 1)][1:]
    ratios = sorted(a / b for a, b in pairs)
    mine, other = (statistics.median(column) for column in zip(*pairs, strict=True))
    middle = statistics.median(ratios)
    print(
        f"{label:44} {middle:5.2f}x  ({mine:.3f} s against {other:.3f} s; {ratios[0]:.2f} to {ratios[-1]:.2f})",
        flush=True,
    )
    return middle


def bare(target: Target, width: int, settings: RunSettings, last: bool) -> None:
    """The training loop without any measurement; `last`: with the forward pass after the last update."""
    for seed in range(settings.seeds):
        work = Work(target, sizes_at(target, width), settings)
        model, optimizer = work.built(seed)
        inputs = work.inputs()
        for step in range(settings.steps + last):
            seed_everything(seed)
            loss = target.loss(model(*inputs.args, **inputs.kwargs), inputs)
            if step < settings.steps:
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()


def overhead(args: argparse.Namespace) -> None:
    target = resolve(str(FIXTURES / f"{args.fixture}.py"), TargetOptions(inputs=parse_inputs(args.input)))
    whole = RunSettings(tuple(args.widths), args.steps, args.seeds, device=args.device, together=False)
    compared(
        f"{args.fixture}: whole check, audit and all / bare",
        lambda: measure(target, whole),
        lambda: [bare(target, width, whole, True) for width in args.widths],
        args,
    )
    gc.freeze()  # as the check does: no collection of what torch has falls into a run
    keep_the_heap()  # as the command does, here for both sides
    for width in args.widths:
        settings = RunSettings(steps=args.steps, seeds=1, device=args.device)
        work = Work(target, sizes_at(target, width), settings)
        look(work, 0)  # once a check, and part of the whole below
        for text, last in (("the loop it contains", True), ("without its last forward pass", False)):
            compared(
                f"{args.fixture} {width}: measured / {text}",
                lambda work=work: train(work, 0),
                lambda width=width, settings=settings, last=last: bare(target, width, settings, last),
                args,
            )
    gc.unfreeze()


def floor(args: argparse.Namespace) -> None:
    """What is left of the overhead where numbers are not computed, then where nothing is kept to compute them of."""
    target = resolve(str(FIXTURES / f"{args.fixture}.py"), TargetOptions(inputs=parse_inputs(args.input)))
    nothing: dict[tuple[Any, str], Callable[..., Any]] = {
        (pass_sizes._Held, "measure"): lambda self, row, wide: None,
        (update_sizes._Rows, "measure"): _unmeasured,
    }
    unkept: dict[tuple[Any, str], Callable[..., Any]] = {
        (pass_sizes._Rows, "put"): lambda self, row, tensors, firsts: None,
        (update_sizes._Rows, "before"): lambda self, gradients, parameters: None,
        (update_sizes._Rows, "after"): _unkept,
        (listener, "scores"): lambda called: (Logits(each.query.detach(), each.query.numel()) for each in called),
        (loop, "_filed"): lambda numbers, count: [loop.RunNumbers()],
    }
    gc.freeze()
    keep_the_heap()
    for width in args.widths:
        settings = RunSettings(steps=args.steps, seeds=1, device=args.device)
        for text, less in (("all", {}), ("no numbers", nothing), ("nothing kept, no logits", nothing | unkept)):
            kept = {(owner, name): getattr(owner, name) for owner, name in less}
            for (owner, name), instead in less.items():
                setattr(owner, name, instead)
            work = Work(target, sizes_at(target, width), settings)
            look(work, 0)
            compared(
                f"{args.fixture} {width}, {text}: run / the loop it contains",
                lambda work=work: train(work, 0),
                lambda width=width, settings=settings: bare(target, width, settings, True),
                args,
            )
            for (owner, name), own in kept.items():
                setattr(owner, name, own)
    gc.unfreeze()


def _unmeasured(rows: Any, count: int) -> torch.Tensor:
    rows._fresh, rows.count = False, 0
    return rows.found[:, :count].clone()


def _unkept(rows: Any, parameters: Any, still: bool) -> None:
    rows.count += 1


def seeds(args: argparse.Namespace) -> None:
    target = resolve(str(FIXTURES / f"{args.fixture}.py"), TargetOptions(inputs=parse_inputs(args.input)))
    loop.TOGETHER = dict.fromkeys(loop.TOGETHER, 2**62)
    many = list(range(args.seeds))
    for width in args.widths:
        work = Work(
            target, sizes_at(target, width), RunSettings(steps=args.steps, seeds=args.seeds, device=args.device)
        )
        together, apart = loop.train_together(work, many, check=True), [train(work, seed) for seed in many]
        worst = max(
            abs(a.values[place] - b.values[place]) / (abs(b.values[place]) + 1e-12)
            for a, b in zip(together, apart, strict=True)
            for place in b.values
        )
        print(f"{args.fixture} {width}: largest relative difference of a statistic {worst:.1e}")
        one = lambda work=work: loop.train_together(work, many, check=False)  # noqa: E731
        compared(f"  {args.seeds} together / one after another", one, lambda w=work: [train(w, s) for s in many], args)
        compared(f"  {args.seeds} together / a single one", one, lambda w=work: train(w, 0), args)


class MupMLP(nn.Module):
    """The MLP of microsoft/mup's example: two hidden layers between an image and ten classes."""

    def __init__(self, width: int) -> None:
        super().__init__()
        from mup import MuReadout

        self.fc_1 = nn.Linear(3072, width, bias=False)
        self.fc_2 = nn.Linear(width, width, bias=False)
        self.fc_3 = MuReadout(width, 10, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc_3(F.relu(self.fc_2(F.relu(self.fc_1(x.flatten(1))))))


def mup(args: argparse.Namespace) -> None:
    """The library's way on its own MLP, in µP; the same models go through ours."""
    from mup import MuAdam, make_base_shapes, set_base_shapes
    from mup.coord_check import get_coord_data

    shapes = make_base_shapes(MupMLP(64), MupMLP(128), savefile=None)

    def build(width: int) -> nn.Module:
        model = MupMLP(width)
        set_base_shapes(model, shapes)
        for parameter in model.parameters():
            nn.init.normal_(parameter, std=parameter.shape[1] ** -0.5)
        return model

    def seeded(width: int, numbers: Iterator[int]) -> Callable[[], nn.Module]:
        def made() -> nn.Module:
            torch.manual_seed(next(numbers))
            return build(width)

        return made

    x = torch.randn(64, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    y = torch.randint(10, (64,), generator=torch.Generator().manual_seed(1))
    steps, count = args.steps, args.seeds
    found: dict[str, Any] = {}

    def theirs() -> None:
        kept, sys.stdout = sys.stdout, open(os.devnull, "w")  # noqa: SIM115
        try:
            # The library seeds once for all widths; ours every width, so that each can be repeated by itself.
            models = {width: seeded(width, iter(range(count))) for width in args.widths}
            found["theirs"] = get_coord_data(
                models, [(x, y)], mup=True, lr=1e-3, optimizer="adam", nsteps=steps + 1, nseeds=count,
                cuda=args.device != "cpu", output_fdict=None, show_progress=False,
            )  # fmt: skip
        finally:
            sys.stdout = kept

    target = from_functions(
        build,
        batch=lambda width: (x,),
        loss=lambda output, batch: F.cross_entropy(output, y.to(output.device)),
        optimizer=lambda model: MuAdam(model.parameters(), lr=1e-3),
        widths=tuple(args.widths[:2]),
    )
    settings = RunSettings(tuple(args.widths), steps, count, device=args.device)

    def ours() -> None:
        found["ours"] = measure(target, settings)

    audited, measuring._prediction = (
        measuring._prediction,
        lambda target, notices: None,
    )  # neither side derives anything
    compared("coord-check without its audit / get_coord_data", ours, theirs, args)
    measuring._prediction = audited
    compared("coord-check with its audit / get_coord_data", ours, theirs, args)
    worst, table = 0.0, found["theirs"]
    for each in found["ours"].activations:
        rows = table[table.module == each.module]
        for place, width in enumerate(args.widths):
            for step in range(steps + 1):
                for seed in range(count):
                    rows_here = rows[(rows.width == width) & (rows.t == step + 1)]
                    other = float(rows_here.l1.iloc[seed])
                    worst = max(worst, abs(each.values["l1"][place, seed, step] - other) / other)
    print(f"largest relative difference of an l1: {worst:.1e}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("which", choices=["overhead", "floor", "seeds", "mup"])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--fixture", default="gpt/table8")
    parser.add_argument("--input", action="append", default=[])
    parser.add_argument("--widths", default="64,256", type=lambda text: [int(part) for part in text.split(",")])
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--runs", type=int, default=5)
    args = parser.parse_args()
    where = torch.cuda.get_device_name() if args.device.startswith("cuda") else f"{torch.get_num_threads()} CPU threads"
    print(f"{args.which} on {where}, torch {torch.__version__}")
    {"overhead": overhead, "floor": floor, "seeds": seeds, "mup": mup}[args.which](args)


if __name__ == "__main__":
    main()
