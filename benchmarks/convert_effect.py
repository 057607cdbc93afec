"""What a plan does to real training: slopes over the width of all activations, unconverted and converted.

    python benchmarks/convert_effect.py                             # widths 128 to 1024, 5 steps, 3 seeds, float64
    python benchmarks/convert_effect.py --only gpt --plot docs/convert-effect.svg

The SP fixtures are trained as they are and as converted in the absorbed formulation, with AdamW, and mlp with SGD too:
that from a readout of zeros (TP5 App. D), since the random one makes logits that fall with width, and with them the
gradients of the first steps, which SGD does not normalise.
For the output of every module: the slope of log2 of its size at initialization (of its change after 5 steps) over log2
of the width, by least squares over all widths. "flat" counts hidden activations within 0.1 of 0. "as planned" counts
those within 0.1 of the exponent that the plan gives them: the `ideal_exponent` of the audit of the model as converted,
which is 0 but for values that carry a multiplier on purpose (queries, in the absorbed formulation). These are named.
The readout is listed apart: the init of its output falls like n^-1/2 in µP.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
import torch
from torch import nn

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
from bugs.plant import fixture  # noqa: E402
from test_fixtures import plain_builder  # noqa: E402

from muaudit.audit import audit  # noqa: E402
from muaudit.convert.planner import make_plan  # noqa: E402
from muaudit.plan.planned import planned  # noqa: E402
from muaudit.targets import Target, from_functions  # noqa: E402

SUBJECTS = [("gpt", "adamw"), ("llama", "adamw"), ("mlp", "adamw"), ("mlp", "sgd")]
READOUTS = ("lm_head", "output", "readout", "head")
LR = {"adamw": 2e-3, "sgd": 0.1}
BASE, STEPS, FLAT = 128, 5, 0.1
Sizes = dict[str, list[float]]
Build = Callable[[Mapping[str, int], int], nn.Module]


def target_of(family: str, optimizer: str) -> Target:
    """The SP fixture with the batch and loss of its sibling."""
    sibling, plain = fixture(f"{family}/table8"), plain_builder(family)

    def build(n: int) -> nn.Module:
        model = plain(n)
        if optimizer == "sgd":
            nn.init.zeros_(next(p for name, p in model.named_parameters() if is_readout(name.rpartition(".")[0])))
        return model

    return from_functions(build, batch=sibling.batch, loss=sibling.loss, optimizer=optimizer, widths=sibling.widths)


def measure(target: Target, build: Build, optimizer: Any, width: int, seed: int) -> tuple[dict[str, float], ...]:
    """Rms of every module's output at initialization, and of its change after the steps."""
    sizes = {target.axes[0].name: width}
    model, inputs = build(sizes, seed), target.inputs(sizes)
    seen: dict[str, torch.Tensor] = {}
    for name, module in model.named_modules():
        if name:
            module.register_forward_hook(lambda m, a, out, name=name: seen.update(kept(name, out)))
    made = optimizer(model, sizes)
    for group in made.param_groups:  # the default's learning rate is no tuned one; scales stay
        group["lr"] *= LR[type(made).__name__.lower()] / 1e-3
    for step in range(STEPS + 1):
        loss = target.loss(model(*inputs.args, **inputs.kwargs), inputs)
        if step == 0:
            start = dict(seen)
        if step < STEPS:
            made.zero_grad()
            loss.backward()
            made.step()
    return (
        {name: rms(value) for name, value in start.items()},
        {name: rms(seen[name] - value) for name, value in start.items()},
    )


def kept(name: str, output: Any) -> dict[str, torch.Tensor]:
    """A module's output under its name, where it is one tensor."""
    return {name: output.detach().clone()} if isinstance(output, torch.Tensor) else {}


def rms(value: torch.Tensor) -> float:
    return float(value.double().square().mean().sqrt())


def series(target: Target, build: Build, optimizer: Any, widths: Sequence[int], seeds: int) -> tuple[Sizes, Sizes]:
    """By module: the sizes at every width, averaged over seeds in the logarithm."""
    out: tuple[Sizes, Sizes] = ({}, {})
    for width in widths:
        runs = [measure(target, build, optimizer, width, seed) for seed in range(seeds)]
        for kind in (0, 1):
            for name in runs[0][kind]:
                logs = [math.log2(max(run[kind][name], 1e-300)) for run in runs]
                out[kind].setdefault(name, []).append(statistics.mean(logs))
    return out


def slope(widths: Sequence[int], logs: Sequence[float]) -> float:
    return statistics.linear_regression([math.log2(w) for w in widths], logs).slope


def is_readout(name: str) -> bool:
    return name.rpartition(".")[2] in READOUTS


def planned_exponents(target: Target) -> dict[str, float]:
    """By module: the exponent that its output has on purpose, where it is not 0."""
    rows = audit(target).activations
    return {row.module: row.ideal_exponent for row in rows if row.module_output and row.ideal_exponent}


def report(label: str, widths: Sequence[int], sizes: tuple[Sizes, Sizes], planned_at: Mapping[str, float]) -> None:
    """planned_at: as `planned_exponents`."""
    for kind, what in enumerate(("init", "change")):
        slopes = {name: slope(widths, logs) for name, logs in sizes[kind].items()}
        hidden = {name: value for name, value in slopes.items() if not is_readout(name)}
        off = {name: value - planned_at.get(name, 0.0) for name, value in hidden.items()}
        worst = max(off, key=lambda name: abs(off[name]))
        flat = sum(abs(value) <= FLAT for value in hidden.values())
        right = sum(abs(value) <= FLAT for value in off.values())
        readout = ", ".join(f"{value:+.2f}" for name, value in slopes.items() if is_readout(name))
        print(f"  {label:12} {what:7} of {len(hidden):3} hidden {flat:3} flat, {right:3} as planned, "
              f"furthest off {off[worst]:+.2f} ({worst}); readout {readout}", flush=True)  # fmt: skip
    shown = ", ".join(f"{name} {value:+.2f}" for name, value in planned_at.items() if not is_readout(name))
    if shown:
        print(f"  {label:12} not flat on purpose: {shown}", flush=True)


def draw(drawn: Sequence[tuple[str, Sequence[int], tuple[Sizes, Sizes]]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(2, len(drawn), figsize=(5 * len(drawn), 7), squeeze=False, sharey="row")
    for column, (title, widths, sizes) in enumerate(drawn):
        for kind, what in enumerate(("size at initialization", f"change after {STEPS} steps")):
            axis = axes[kind][column]
            for name, logs in sizes[kind].items():
                style: dict[str, Any] = {"color": "tab:red", "lw": 2} if is_readout(name) else {"color": "tab:blue"}
                axis.plot(widths, [2**value for value in logs], alpha=0.6, **style)
            axis.set(xscale="log", yscale="log", title=f"{title}: {what}", xlabel="width")
            axis.set_xticks(widths, [str(width) for width in widths])
            axis.minorticks_off()
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--widths", type=int, nargs="*", default=[128, 256, 512, 1024])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--plot", type=Path)
    given = parser.parse_args()
    torch.set_default_dtype(torch.float64)
    for family, optimizer in SUBJECTS:
        if given.only and family not in given.only and f"{family}_{optimizer}" not in given.only:
            continue
        target = target_of(family, optimizer)
        after = planned(target, make_plan(target, BASE, max(given.widths)))
        on_purpose: dict[str, Mapping[str, float]] = {"unconverted": {}, "converted": planned_exponents(after)}
        print(f"{family}, {optimizer}, widths {', '.join(map(str, given.widths))}")
        drawn = []
        for label, subject in (("unconverted", target), ("converted", after)):
            sizes = series(target, subject.build, subject.optimizer, given.widths, given.seeds)
            report(label, given.widths, sizes, on_purpose[label])
            drawn.append((f"{family} {label}", given.widths, sizes))
        if given.plot:
            draw(drawn, given.plot)


if __name__ == "__main__":
    main()
