"""Train models at several widths and hold every activation against the exponents that `muaudit check` gives it.

    python benchmarks/predict_vs_measure.py

Nothing on either side was fitted. The audit looks at two small widths and says with which exponent an activation grows
in the end: at initialization (`init`), and its change under a small learning rate (`update`). Here the model is trained
for three steps in float64, with a learning rate so small that the response is linear.

The measured slope is the one that coord-check judges: least squares of log size over log width, all seeds of the three
widest widths. One rule for all of them, and classes by the same number, half way between an exponent and the next:

    agrees     |slope - exponent| <= 1/4
    class      shrinks below -1/4, grows above +1/4, else flat

An exponent is where a slope ends. In one place it is a bound by theory: what does not grow itself (outputs, attention
logits) may be anything up to it at initialization (TP5, arXiv 2203.03466, Desideratum J.2), and a readout's random part
falls to what stays, such as a bias. Where the slope is lower by more than 1/4, that is counted as `below`.

Of right models everything has to agree: exit 1 where something does not. In wrong ones terms of different exponents
compete, often far beyond the widths that are trained: there the class is what an exponent can tell.

Measurements are kept in --results, one file a model, and not repeated; predictions are always made anew. Nothing is
left out of the figures: what disagrees is listed.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

sys.path.insert(0, str(Path(__file__).parent.parent))
sys.path.insert(0, str(Path(__file__).parent))

from subjects import Subject, subjects

from muaudit.analysis.derivations import Derivations
from muaudit.audit import audit
from muaudit.findings.model import ActivationRow, Report
from muaudit.targets import Target
from muaudit.training import fit
from muaudit.training.listener import Listener
from muaudit.training.loop import moved
from muaudit.training.sizes import Sizes

WIDTHS = (512, 1024, 2048)
NEAR = 0.25  # half way between an exponent and the next: they come in steps of 1/2
STEPS = 3
TINY = 1e-5  # what learning rates are multiplied by for the linear response
EPS = 1e-18  # Adam's eps beside it: far below every gradient, above the rounding of gradients that are zero
ROUNDING = 1e-11  # a change below this part of TINY times the value is the arithmetic's
RIGHT = {"µP": "in µP", "converted": "as it comes, converted"}
WRONG = {"standard": "standard", "one bug": "one bug planted", "library": "from a library, as it comes"}


# -- measuring -----------------------------------------------------------------------------------------------
Found = dict[str, tuple[float, float]]  # name of an activation → its size at initialization, that of its change


def measured(
    subject: Subject, widths: Sequence[int], results: Path, folder: Path, may_train: bool = True
) -> list[list[Found]] | None:
    """Sizes of every activation at [width][seed]: read where they are kept, trained for where not. None without."""
    path = results / ("".join(c if c.isalnum() else "_" for c in subject.name) + ".jsonl")
    kept = _kept(path)
    wanted = [(width, seed) for width in widths for seed in range(subject.seeds)]
    missing = [each for each in wanted if each not in kept]
    if missing and not may_train:
        return None
    if missing:
        target, start = subject.make(folder), time.perf_counter()
        for width, seed in missing:
            kept[width, seed] = train(target, width, seed)
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps([width, seed, kept[width, seed]]) + "\n")
            print(f"  {subject.name}: {width} after {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
    return [[kept[width, seed] for seed in range(subject.seeds)] for width in widths]


def _kept(path: Path) -> dict[tuple[int, int], Found]:
    found: dict[tuple[int, int], Found] = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            width, seed, sizes = json.loads(line)
        except ValueError:  # cut off while it was written
            continue
        found[width, seed] = sizes
    return found


def train(target: Target, width: int, seed: int) -> Found:
    """Root mean square of every activation at initialization, and of its change after the last step."""
    axes = target.axes
    sizes = {axis.name: max(1, round(axis.probes[0] * width / axes[0].probes[0])) for axis in axes}
    model = target.build(sizes, seed).double()
    if hasattr(model, "set_experts_implementation"):
        model.set_experts_implementation("eager")  # there is no grouped matmul in float64
    inputs = moved(target.inputs(sizes), torch.device("cpu"), torch.float64)
    optimizer = target.optimizer(model, sizes)
    for group in optimizer.param_groups:
        group["lr"] *= TINY
        if "eps" in group:
            group["eps"] = EPS
        if type(optimizer) in (torch.optim.Adam, torch.optim.AdamW):
            group["foreach"], group["fused"] = False, True
    listener, numbers = Listener(model), Sizes()
    with Wholly(torch.float64):
        _steps(target, model, inputs, optimizer, listener, numbers)
    found: dict[str, list[float]] = {}
    listener.close()
    for place, (number,) in numbers.fetch():
        if place.column == 0 and place.step == 0:
            found.setdefault(place.name, [0.0, 0.0])[0] = number
        elif place.column == 2:
            found.setdefault(place.name, [0.0, 0.0])[1] = number
    return {name: (first, change) for name, (first, change) in found.items()}


def _steps(
    target: Target, model: nn.Module, inputs: Any, optimizer: torch.optim.Optimizer, listener: Listener,
    numbers: Sizes,
) -> None:  # fmt: skip
    for step in range(STEPS + 1):
        if 0 < step < STEPS:
            output = model(*inputs.args, **inputs.kwargs)
        else:
            listener.copy = step == 0
            with listener:
                output = model(*inputs.args, **inputs.kwargs)
            numbers.activations(step, listener.seen, listener.values, listener.shares)
        if step < STEPS:
            optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(target.loss(output, inputs))
            optimizer.step()
        del output


class Wholly(TorchFunctionMode):
    """Everything in one precision: models that ask for single precision inside (norms, softmax) get it too."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.Tensor.float:
            return args[0].to(self.dtype)
        args = tuple(self.dtype if value is torch.float32 else value for value in args)
        kwargs = {key: self.dtype if value is torch.float32 else value for key, value in (kwargs or {}).items()}
        return func(*args, **kwargs)


# -- comparing -----------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Point:
    """One exponent and the slope that was measured. error: half of the slope's 95 % interval, over widths and seeds.

    bound: the exponent is the largest that is right, and a smaller slope no contradiction.
    """

    model: str
    kind: str
    name: str
    what: str  # init, change
    exponent: float
    slope: float
    error: float
    bound: bool

    @property
    def agrees(self) -> bool:
        """Within the distance that is asked for; zero with zero."""
        if math.isinf(self.exponent) or math.isinf(self.slope):
            return self.exponent == self.slope
        return abs(self.exponent - self.slope) <= NEAR

    @property
    def below(self) -> bool:
        """Less than a bound."""
        return self.bound and not self.agrees and self.slope < self.exponent

    @property
    def same_class(self) -> bool:
        """Both shrink, stay or grow."""
        return class_of(self.exponent) == class_of(self.slope)


def class_of(exponent: float) -> str:
    """shrinks, flat or grows; none at all for what stays zero."""
    if math.isinf(exponent):
        return "none"
    return "grows" if exponent > NEAR else "shrinks" if exponent < -NEAR else "flat"


def compare(subject: Subject, widths: Sequence[int], found: list[list[Found]], folder: Path) -> Iterator[Point]:
    """Every activation that the audit predicts and that was measured."""
    report = audit(subject.make(folder))
    assert isinstance(report.derivations, Derivations)
    rows, values = {row.name: row for row in report.activations}, report.derivations.activations
    returned = iter(_outputs(report))
    names = {next(returned, name) if _returned(name, rows) else name: name for name in found[0][0]}
    odd = [*(rows.keys() - names.keys()), *(names.keys() - rows.keys())]
    if odd:
        print(f"  {subject.name}: only predicted or only measured: {', '.join(odd)}", file=sys.stderr)
    for key, name in names.items():
        if key in rows:
            sizes = np.array([[s[name] for s in seeds] for seeds in found])
            yield from _points(subject, rows[key], not any(values[key].dims), widths, sizes)


def _returned(name: str, rows: Mapping[str, ActivationRow]) -> bool:
    """What the model itself returns is measured as `output`, or `Llama output` where a module has that name."""
    return name not in rows and re.fullmatch(r"(\w+ )?output(\[\d+\])?", name) is not None


def _outputs(report: Report) -> list[str]:
    """Names in the report of what the model returns and is measured: not of a loss."""
    assert isinstance(report.derivations, Derivations)
    found = report.derivations.activations
    return [name for name in found if name.startswith("(output)") and math.prod(found[name].op.shape) > 1]


def _points(
    subject: Subject, row: ActivationRow, finite: bool, widths: Sequence[int], sizes: np.ndarray
) -> Iterator[Point]:
    """sizes: [width, seed, (at initialization, of the change)]."""
    first, change = sizes[..., 0], sizes[..., 1]
    change = np.where(change > ROUNDING * TINY * first, change, 0.0)
    for what, exponent, numbers in (("init", row.init_exponent, first), ("change", row.update_exponent, change)):
        if exponent is not None:
            found = fit.fit(widths, numbers)
            slope, error = (-math.inf, 0.0) if found is None else (found.slope, found.half_width)
            bound = finite and what == "init"
            yield Point(subject.name, subject.kind, row.name, what, exponent, slope, error, bound)


# -- showing -------------------------------------------------------------------------------------------------
def table(points: Sequence[Point], models: bool = True) -> str:
    """One line a model unless only the totals are wanted, then these."""
    heads = ("activations", "init agrees", "below", "class", "change agrees", "class")
    lines = [f"| model | | {' | '.join(heads)} |", "|---|---" + "|--:" * len(heads) + "|"]
    for model, kind in dict.fromkeys((p.model, p.kind) for p in points) if models else ():
        lines.append(f"| {model} | {kind} | {_cells([p for p in points if p.model == model])} |")
    groups = {label: [p for p in points if p.kind == kind] for kind, label in (RIGHT | WRONG).items()}
    groups["right"] = [p for p in points if p.kind in RIGHT]
    groups["wrong"] = [p for p in points if p.kind in WRONG]
    for label, some in groups.items():
        if some:
            lines.append(f"| **all {len({p.model for p in some})} {label}** | | {_cells(some)} |")
    return "\n".join(lines)


def _cells(points: Sequence[Point]) -> str:
    init, change = ([p for p in points if p.what == what] for what in ("init", "change"))

    def count(good: list[bool]) -> str:
        return f"{sum(good)} / {len(good)}"

    cells = [str(len({(p.model, p.name) for p in points})), count([p.agrees for p in init])]
    cells += [str(sum(p.below for p in init)), count([p.same_class for p in init])]
    return " | ".join([*cells, count([p.agrees for p in change]), count([p.same_class for p in change])])


def disagreements(points: Sequence[Point]) -> Iterator[str]:
    """Every point that is off, model by model."""
    for p in points:
        if not p.agrees:
            why = "below" if p.below else "slope" if p.same_class else "class"
            sizes = f"exponent {p.exponent:+.2f}  measured {p.slope:+.2f} ± {p.error:.2f}"
            yield f"{p.model:42} {p.name:52} {p.what:6} {sizes}  {why}"


# -- running -------------------------------------------------------------------------------------------------
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", help="only models whose name contains one of these")
    parser.add_argument("--kinds", nargs="*", default=[*RIGHT, *WRONG], choices=[*RIGHT, *WRONG])
    parser.add_argument(
        "--widths", default=",".join(map(str, WIDTHS)), help="of residual nets, of three stages, a quarter of each"
    )
    parser.add_argument("--results", type=Path, default=Path("results"), help="where measurements are kept")
    parser.add_argument("--no-training", action="store_true", help="compare what was measured before")
    args = parser.parse_args()
    args.results.mkdir(parents=True, exist_ok=True)
    points: list[Point] = []
    with tempfile.TemporaryDirectory() as folder:
        for subject in subjects():
            named = not args.models or any(text in subject.name for text in args.models)
            if named and subject.kind in args.kinds:
                widths = [int(width) // subject.multiple for width in args.widths.split(",")]
                found = measured(subject, widths, args.results, Path(folder), not args.no_training)
                if found is not None:
                    points += compare(subject, widths, found, Path(folder))
    print(table(points))
    print("\n".join(["", *disagreements(points)]))
    sys.exit(any(p.kind in RIGHT and not (p.agrees or p.below) for p in points))


if __name__ == "__main__":
    main()
