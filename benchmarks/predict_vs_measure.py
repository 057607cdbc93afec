"""Train models at several widths and hold every recorded activation against what `muaudit check` predicted for it.

    python benchmarks/predict_vs_measure.py --plot docs/predict_vs_measure.png --page docs/predict_vs_measure.md

Each model is trained twice from the same initializations: in float64 with a learning rate so small that the response
is linear, and with its own learning rate. Predictions come from the audit at two small widths and a few updates at the
first of them; what is wider is not looked at.

    init            slope of the root mean square at initialization, over the wider half of the widths
    linear          local slope of the change between the two largest widths, tiny learning rate: against `update`
    usual           the same at the model's own learning rate: against `capped`

The prediction of a slope is that of `muaudit.expect` at the same widths; the audit's exponent is where it ends. A slope
is the mean over seeds of the logarithm. Measurements are kept in --results, one file a model, and not repeated;
predictions are always made anew. Nothing is left out of the figures: what disagrees is listed.

With --lr-factor, learning rates are multiplied by it and only `usual` is measured:

    python benchmarks/predict_vs_measure.py --lr-factor 3 --kinds standard library --min-width 1024

Families that no constant of `muaudit.expect` was chosen with are a kind of their own, not among the others:

    python benchmarks/predict_vs_measure.py --kinds "held out"
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
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

sys.path.insert(0, str(Path(__file__).parent.parent))
sys.path.insert(0, str(Path(__file__).parent))

from subjects import WIDTHS, Subject, at_rate, subjects

from muaudit.analysis.explain import Derivations
from muaudit.audit import audit
from muaudit.expect import Expectation, expect
from muaudit.report.model import ActivationRow, Report
from muaudit.targets import Target
from muaudit.training.loop import moved
from muaudit.training.recorder import Recorder
from muaudit.training.statistics import Statistics

STEPS = 3
TINY = 1e-5  # what learning rates are multiplied by for the linear response
EPS = 1e-18  # Adam's eps beside it: far below every gradient, above the rounding of gradients that are zero
ROUNDING = 1e-11  # a change below this part of TINY times the value is the arithmetic's
FLAT = 0.25  # half way between the exponents 0 and 1/2
INIT, LOCAL = 0.15, 0.25  # how close slopes must come


# -- measuring -----------------------------------------------------------------------------------------------
Sizes = dict[str, dict[str, float]]  # name of an activation → init, linear (not with --lr-factor), usual


def measured(
    subject: Subject, widths: Sequence[int], seeds: int, results: Path, folder: Path, may_train: bool,
    linear: bool = True,
) -> Any:  # fmt: skip
    """Sizes of every activation at [width][seed]: read where they are kept, trained for where not. None without."""
    path = results / ("".join(c if c.isalnum() else "_" for c in subject.name) + ".jsonl")
    kept = _kept(path)
    wanted = [(width, seed) for width in widths for seed in range(max(seeds, subject.seeds))]
    missing = [each for each in wanted if each not in kept]
    if may_train and missing:
        target, start = subject.make(folder), time.perf_counter()
        for width, seed in missing:
            kept[width, seed] = both(target, width, seed) if linear else usual(target, width, seed)
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps([width, seed, kept[width, seed]]) + "\n")
            print(f"  {subject.name}: {width} after {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
    done = [seed for _, seed in kept if all((width, seed) in kept for width in widths)]
    return [[kept[width, seed] for seed in sorted(set(done))] for width in widths] if done else None


def _kept(path: Path) -> dict[tuple[int, int], Sizes]:
    found: dict[tuple[int, int], Sizes] = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            width, seed, sizes = json.loads(line)
        except ValueError:  # cut off while it was written
            continue
        found[width, seed] = sizes
    return found


def both(target: Target, width: int, seed: int) -> Sizes:
    """One model trained twice from the same initialization."""
    linear, changed = train(target, width, seed, torch.float64, TINY, EPS), usual(target, width, seed)
    return {name: {**changed[name], "init": first, "linear": change} for name, (first, change) in linear.items()}


def usual(target: Target, width: int, seed: int) -> Sizes:
    """A model trained at its own learning rate."""
    sizes = train(target, width, seed, torch.float32, 1.0, None)
    return {name: {"init": first, "usual": change} for name, (first, change) in sizes.items()}


def slower(subject: Subject, factor: float) -> Subject:
    """The same with learning rates times `factor`."""

    def make(folder: Path) -> Target:
        return at_rate(subject.make(folder), lambda lr: lr * factor)

    return replace(subject, name=f"{subject.name}, lr times {factor:g}", make=make)


def train(
    target: Target, width: int, seed: int, dtype: torch.dtype, factor: float, eps: float | None
) -> dict[str, tuple[float, float]]:
    """Root mean square of every activation at initialization, and of its change after the last step."""
    axes = target.axes
    sizes = {axis.name: max(1, round(axis.probes[0] * width / axes[0].probes[0])) for axis in axes}
    model = target.build(sizes, seed).to(dtype)
    if hasattr(model, "set_experts_implementation"):
        model.set_experts_implementation("eager")  # there is no grouped matmul in float64
    inputs = moved(target.inputs(sizes), torch.device("cpu"), dtype)
    optimizer = target.optimizer(model, sizes)
    for group in optimizer.param_groups:
        group["lr"] *= factor
        if eps is not None and "eps" in group:
            group["eps"] = eps
        if type(optimizer) in (torch.optim.Adam, torch.optim.AdamW):
            group["foreach"], group["fused"] = False, True
    recorder, numbers = Recorder(model), Statistics()
    with Wholly(dtype):
        _steps(target, model, inputs, optimizer, recorder, numbers)
    found: dict[str, list[float]] = {}
    recorder.close()
    for place, (number,) in numbers.fetch():
        if place.column == 0 and place.step == 0:
            found.setdefault(place.name, [0.0, 0.0])[0] = number
        elif place.column == 2:
            found.setdefault(place.name, [0.0, 0.0])[1] = number
    return {name: (first, change) for name, (first, change) in found.items()}


def _steps(
    target: Target, model: nn.Module, inputs: Any, optimizer: torch.optim.Optimizer, recorder: Recorder,
    numbers: Statistics,
) -> None:  # fmt: skip
    for step in range(STEPS + 1):
        if 0 < step < STEPS:
            output = model(*inputs.args, **inputs.kwargs)
        else:
            recorder.copy = step == 0
            with recorder:
                output = model(*inputs.args, **inputs.kwargs)
            shares = {slot: share[None] for slot, share in recorder.shares.items()}
            numbers.activations(step, recorder.seen, [value[None] for value in recorder.values], shares)
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
    """One prediction and its measurement. error: standard error of the slope over seeds.

    outputs: how far training at the usual learning rate moves what the model returns, at the largest width.
    """

    model: str
    kind: str
    name: str
    what: str  # init, linear, usual
    exponent: float
    predicted: float
    measured: float
    error: float
    seeds: int
    outputs: float

    @property
    def near(self) -> bool:
        """Within the distance that is asked for."""
        if math.isinf(self.predicted) or math.isinf(self.measured):
            return self.predicted == self.measured
        return abs(self.predicted - self.measured) <= (INIT if self.what == "init" else LOCAL)

    @property
    def same_class(self) -> bool:
        return class_of(self.predicted) == class_of(self.measured)


def class_of(exponent: float) -> str:
    """shrinks, flat or grows; none at all for what stays zero."""
    if math.isinf(exponent):
        return "none"
    return "grows" if exponent > FLAT else "shrinks" if exponent < -FLAT else "flat"


def compare(subject: Subject, widths: Sequence[int], found: Any, folder: Path) -> Iterator[Point]:
    """Every activation that the audit predicts and that was measured."""
    target = subject.make(folder)
    report = audit(target)
    rows, expected = {row.name: row for row in report.activations}, expect(target, report, steps=STEPS)
    returned = iter(_outputs(report))
    names = {next(returned, name) if _returned(name, rows) else name: name for name in found[0][0]}
    odd = [*(rows.keys() - names.keys()), *(names.keys() - rows.keys())]
    if odd:
        print(f"  {subject.name}: only predicted or only measured: {', '.join(odd)}", file=sys.stderr)
    outputs = max(_mean([s[name]["usual"] for s in found[-1]]) for k, name in names.items() if k.startswith("(output)"))
    for key, name in names.items():
        if key in rows:
            values = {what: np.array([[s[name][what] for s in seeds] for seeds in found]) for what in found[0][0][name]}
            yield from _points(subject, rows[key], expected, widths, values, outputs)


def _mean(sizes: Sequence[float]) -> float:
    """Of the logarithms."""
    return math.exp(sum(map(math.log, sizes)) / len(sizes)) if all(sizes) else 0.0


def _returned(name: str, rows: Mapping[str, ActivationRow]) -> bool:
    """What the model itself returns is measured as `output`, or `Llama output` where a module has that name."""
    return name not in rows and re.fullmatch(r"(\w+ )?output(\[\d+\])?", name) is not None


def _outputs(report: Report) -> list[str]:
    """Names in the report of what the model returns and is measured: not of a loss."""
    assert isinstance(report.derivations, Derivations)
    found = report.derivations.activations
    return [name for name in found if name.startswith("(output)") and math.prod(found[name].op.shape) > 1]


def _points(
    subject: Subject, row: ActivationRow, expected: Expectation, widths: Sequence[int],
    values: Mapping[str, np.ndarray], outputs: float,
) -> Iterator[Point]:  # fmt: skip
    half = max(2, len(widths) // 2 + 1)
    for what, exponent, field, last in (
        ("init", row.init_exponent, "init", half),
        ("linear", row.update_exponent, "update", 2),
        ("usual", row.capped_exponent, "capped", 2),
    ):
        if exponent is None or what not in values or ("linear" not in values and what == "init"):
            continue
        predicted = getattr(expected.slopes(widths[-last:])[row.name], field)
        sizes = values[what][-last:]
        if what == "linear":
            sizes = np.where(sizes > ROUNDING * TINY * values["init"][-last:], sizes, 0.0)
        if what == "usual" and ((sizes == 0) & (values.get("linear", values["init"])[-last:] > 0)).any():
            print(f"  {subject.name}: {row.name} changes its shape in training", file=sys.stderr)  # other tokens come
            continue
        slope, error = fit(widths[-last:], sizes)
        yield Point(
            subject.name, subject.kind, row.name, what, exponent, predicted, slope, error, sizes.shape[1], outputs
        )  # fmt: skip


def fit(widths: Sequence[int], sizes: np.ndarray) -> tuple[float, float]:
    """Slope of the mean over seeds of log size [width, seed], and its standard error; −∞ for zeros."""
    if not (sizes > 0).any():
        return -math.inf, 0.0
    with np.errstate(divide="ignore"):
        logs = np.log(sizes)
    x = np.log(np.array(widths, float))
    weights = (x - x.mean()) / ((x - x.mean()) ** 2).sum()
    slopes = weights @ logs
    error = float(slopes.std(ddof=1) / math.sqrt(len(slopes))) if len(slopes) > 1 else math.nan
    return float(slopes.mean()), error


# -- showing -------------------------------------------------------------------------------------------------
def table(points: Sequence[Point], models: bool = True) -> str:
    """One line a model unless only the totals are wanted, then these against what is asked for."""
    heads = (
        "seeds", "activations", "init within 0.15", "linear: class", "within 0.25", "usual lr: class", "within 0.25",
        "outputs moved",
    )  # fmt: skip
    lines = [f"| model | | {' | '.join(heads)} |", "|---|---" + "|--:" * len(heads) + "|"]
    names = list(dict.fromkeys((p.model, p.kind, p.seeds, p.outputs) for p in points))
    for model, kind, seeds, outputs in names if models else ():
        cells = _cells([p for p in points if p.model == model])
        lines.append(f"| {model} | {kind} | {seeds} | {cells} | {outputs:.2g} |")
    chosen = {
        label: [p for p in points if p.kind == kind] for kind, label in LABELS.items()
    } | {
        "whose outputs move by less than 1": [p for p in points if p.outputs < 1],
        "whose outputs move by 1 or more": [p for p in points if p.outputs >= 1],
    }  # fmt: skip
    for label, some in chosen.items():
        if some:
            lines.append(f"| **all {len({p.model for p in some})} {label}** | | | {_cells(some, share=True)} | |")
    lines.append(f"| **all {len(names)}** | | | {_cells(points, share=True)} | |")
    return "\n".join(lines)


def bare(points: Sequence[Point]) -> str:
    """The same shares for the audit's exponents in place of the slopes expected at these widths."""
    return table([replace(p, predicted=p.exponent) for p in points], models=False)


def _cells(points: Sequence[Point], share: bool = False) -> str:
    by = {what: [p for p in points if p.what == what] for what in ("init", "linear", "usual")}

    def count(what: str, good: list[bool]) -> str:
        text = f"{sum(good)} / {len(good)}"
        return f"{text} ({100 * sum(good) / max(1, len(good)):.1f} %)" if share else text

    cells = [str(max(map(len, by.values()))), count("init", [p.near for p in by["init"]])]
    for what in ("linear", "usual"):
        cells += [count(what, [p.same_class for p in by[what]]), count(what, [p.near for p in by[what]])]
    return " | ".join(cells)


def disagreements(points: Sequence[Point]) -> Iterator[str]:
    """Every point that misses, model by model."""
    for p in points:
        if not p.near or (p.what != "init" and not p.same_class):
            why = "distance" if p.what == "init" or p.same_class else "class" if p.near else "class, distance"
            yield (
                f"{p.model:42} {p.name:52} {p.what:6} exponent {p.exponent:+.2f}  predicted {p.predicted:+.2f}  "
                f"measured {p.measured:+.2f} ± {p.error:.2f}  {why}"
            )


def page(points: Sequence[Point], text: str) -> str:
    """The table and the full list, for the documentation."""
    missed = list(disagreements(points))
    return f"""# Prediction against measurement: all figures

Written by `python benchmarks/predict_vs_measure.py`; [Validation](validation.md) says what they mean. Slopes of
changes are those between the two largest widths. `outputs moved` is how far training at the usual learning rate moved
what the model returns at the largest width (root mean square).

{text}

## The bare exponents

Held against the audit's exponents, the slopes at infinite width, instead:

{bare(points)}

## Disagreements

All {len(missed)} of {len(points)} slopes that are further off than asked for, or of another class. `exponent` is what
the audit reports, the slope at infinite width; `±` is the standard error over seeds.

```
{chr(10).join(missed)}
```
"""


PANELS = {
    "init": "Size at initialization",
    "linear": "Change, linear response",
    "usual": "Change, usual learning rate",
}
COLOURS = {"µP": "#0072B2", "standard": "#E69F00", "one bug": "#CC3311", "library": "#009E73", "converted": "#56B4E9"}
LABELS = {
    "µP": "in µP", "standard": "standard", "one bug": "one bug planted", "library": "from a library",
    "converted": "from a library, converted",
}  # fmt: skip
SHOWN = (-1.4, 3.1)  # what lies beyond is drawn at the edge, as a triangle


def scatter(points: Sequence[Point], path: Path) -> None:
    """Measured against predicted slopes, one panel a question."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    models = len({p.model for p in points})
    figure = Figure(figsize=(13, 5.3), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(
        f"How the activations of {models} models change with width: predicted from the narrowest, and measured",
        fontsize=13,
    )
    panels = figure.subplots(1, len(PANELS))
    for axes, (what, title) in zip(panels, PANELS.items(), strict=True):
        _panel(axes, title, [p for p in points if p.what == what], INIT if what == "init" else LOCAL)
    panels[0].set_ylabel("measured slope, log-log")
    panels[0].text(0.98, 0.02, "▲ beyond the axes", transform=panels[0].transAxes, ha="right", color="0.4", fontsize=9)
    panels[0].legend(loc="upper left", frameon=False, handletextpad=0.1, labelspacing=0.3)
    figure.savefig(path, dpi=140)


def _panel(axes: Any, title: str, points: Sequence[Point], near: float) -> None:
    """A band of what is near, and the points on it, a little apart from each other."""
    low, high = SHOWN
    ends = np.array([low, high])
    axes.fill_between(ends, ends - near, ends + near, color="0.9", lw=0, zorder=0)
    axes.plot(ends, ends, color="0.65", lw=0.8, zorder=0)
    spread = np.random.default_rng(0)
    for kind, colour in COLOURS.items():
        chosen = [p for p in points if p.kind == kind and math.isfinite(p.predicted) and math.isfinite(p.measured)]
        place = np.array([(p.predicted + spread.uniform(-0.03, 0.03), p.measured) for p in chosen]).reshape(-1, 2)
        inside = ((place > low) & (place < high)).all(axis=1)
        axes.scatter(*place[inside].T, s=17, alpha=0.55, color=colour, lw=0, label=LABELS[kind])
        edge = np.clip(place[~inside], low + 0.06, high - 0.06)
        axes.scatter(*edge.T, s=30, alpha=0.7, color=colour, lw=0, marker="^")
    good = sum(p.near for p in points)
    axes.set_title(
        f"{title}\n{good} of {len(points)} within {near} ({100 * good / max(1, len(points)):.1f} %)", fontsize=11
    )
    axes.set(xlim=SHOWN, ylim=SHOWN, xlabel="predicted slope, log-log")
    axes.set_aspect("equal", "box")
    axes.grid(color="0.94", lw=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


# -- running -------------------------------------------------------------------------------------------------
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", help="only models whose name contains one of these")
    parser.add_argument("--results", type=Path, default=Path("results"), help="where measurements are kept")
    parser.add_argument(
        "--kinds", nargs="*", default=list(LABELS), choices=[*LABELS, "held out"], help="only models of these kinds"
    )
    parser.add_argument("--min-width", type=int, default=0)
    parser.add_argument("--max-width", type=int, default=2048)
    parser.add_argument("--lr-factor", type=float, default=1.0, help="learning rates times this")
    parser.add_argument("--seeds", type=int, default=1, help="at least; each model has its own number")
    parser.add_argument("--plot", type=Path, help="a PNG of predicted against measured slopes")
    parser.add_argument("--page", type=Path, help="write the table and all disagreements to this Markdown file too")
    parser.add_argument("--no-training", action="store_true", help="compare what was measured before")
    args = parser.parse_args()
    args.results.mkdir(parents=True, exist_ok=True)
    points: list[Point] = []
    with tempfile.TemporaryDirectory() as folder:
        for subject in subjects():
            if subject.kind not in args.kinds or (
                args.models and not any(text in subject.name for text in args.models)
            ):
                continue
            scale = WIDTHS[-1] // subject.widths[-1]  # of a residual net, whose last stage is wider
            widths = [width for width in subject.widths if args.min_width <= width * scale <= args.max_width]
            plain = args.lr_factor == 1.0
            subject = subject if plain else slower(subject, args.lr_factor)
            found = measured(subject, widths, args.seeds, args.results, Path(folder), not args.no_training, plain)
            if found is not None:
                points += compare(subject, widths, found, Path(folder))
    text = table(points)
    print(text)
    print("\n".join(["", *disagreements(points)]))
    if args.page:
        args.page.write_text(page(points, text), encoding="utf-8")
    if args.plot:
        scatter(points, args.plot)


if __name__ == "__main__":
    main()
