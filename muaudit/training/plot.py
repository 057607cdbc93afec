"""The picture of a coordinate check (after TP5, arXiv 2203.03466, Fig. 5): one panel a step, one row a target.

matplotlib is imported here only, and without pyplot, so that no global state and no display is touched.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UserError
from .data import Array, Measurement
from .judge import Judged, Verdict

FORMATS = (".png", ".svg", ".pdf")
STYLES: dict[str, Any] = {"hidden": "-", "output": "--", "logits": ":"}
LABELLED = 7
_OFFENCE = "#d62728"
Drawn = tuple[Measurement, Verdict]


def check_plot(path: Path) -> None:
    """Raise UserError for a format that cannot be written, or without matplotlib."""
    if path.suffix.lower() not in FORMATS:
        raise UserError(f"--plot writes {', '.join(FORMATS)}, found {path.name}", "for example --plot coord.png")
    if not path.resolve().parent.is_dir():
        raise UserError(f"--plot: no such folder: {path.parent}")
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise UserError("--plot needs matplotlib", "pip install 'muaudit[plot]'") from error


def plot(rows: Sequence[Drawn], path: Path) -> None:
    """Draw every run as one row and write the file. Raises UserError where it cannot be written."""
    import matplotlib
    from matplotlib.figure import Figure

    steps = max(run.steps for run, _ in rows) + 1
    # Text stays text in svg and pdf, and no date goes into the file.
    with matplotlib.rc_context({"font.size": 8, "svg.fonttype": "none", "pdf.fonttype": 42, "svg.hashsalt": "muaudit"}):
        figure = Figure(figsize=(2.1 * steps + 3.3, 2.7 * len(rows) + 0.8), layout="constrained")
        grid = figure.subplots(len(rows), steps, sharey=True, squeeze=False)
        for axes, (run, verdict) in zip(grid, rows, strict=True):
            _row(figure, axes, run, verdict)
        _styles(figure)
        try:
            figure.savefig(path, dpi=160, metadata={"Date": None} if path.suffix.lower() == ".svg" else None)
        except OSError as error:
            raise UserError(f"cannot write {path}: {error.strerror or error}") from error


def _row(figure: Any, axes: Any, run: Measurement, verdict: Verdict) -> None:
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    drawn_ones = _distinct(verdict.judged)
    colours, depth = colormaps["viridis"], max(1, len(drawn_ones) - 1)
    named = _named(verdict)
    lines: dict[str, Any] = {}
    thin = 1.1 if len(drawn_ones) <= 60 else 0.6
    for step, panel in enumerate(axes):
        panel.set(xscale="log", yscale="log")
        panel.set_xticks(run.widths, [str(width) for width in run.widths], rotation=45 if len(run.widths) > 4 else 0)
        panel.minorticks_off()
        panel.grid(True, which="major", linewidth=0.4, alpha=0.4)
        panel.set_title("value at init" if step == 0 else f"change after step {step}", fontsize=8)
        panel.set_xlabel(run.width_name)
        if step > run.steps:
            continue
        for order, judged in enumerate(drawn_ones):
            activation = judged.activation
            sizes = activation.values["l2" if step == 0 else "change_l2"][:, :, step]
            number = named.index(judged) + 1 if judged in named else 0
            bad = judged.status == "fail"
            (drawn,) = panel.plot(
                run.widths, _typical(sizes), STYLES[activation.kind], color=colours(0.92 * order / depth),
                linewidth=2.0 * thin if number and bad else thin, alpha=1.0 if number else 0.55,
                marker="o", markersize=2.2 if number else 1.2, zorder=3 if number else 2,
            )  # fmt: skip
            if number:
                lines[activation.name] = drawn
                _label(panel, run, sizes, number, bad)
    status = {"pass": "stable", "fail": "not stable", "undecided": "undecided"}[verdict.status]
    axes[0].set_ylabel(f"{run.target}\n{status} in width\n\nroot mean square", fontsize=8)
    handles = [lines[judged.activation.name] for judged in named if judged.activation.name in lines]
    labels = [f"{place} {_entry(judged)}" for place, judged in enumerate(named, 1) if judged.activation.name in lines]
    title = "offenders: slope at init, of the change" if verdict.offenders else "steepest: slope at init, of the change"
    last = axes[-1]
    mappable = ScalarMappable(Normalize(0, depth), colours)
    bar = figure.colorbar(mappable, ax=list(axes), pad=0.01, fraction=0.02, aspect=30, location="left")
    bar.set_ticks([0, depth], labels=["first", "last"])
    bar.set_label("place in the forward pass", fontsize=7)
    last.legend(
        handles, labels, title=title, loc="upper left", bbox_to_anchor=(1.08, 1.0), fontsize=6.5, title_fontsize=7,
        frameon=False, handlelength=2.6,
    )  # fmt: skip


def _named(verdict: Verdict) -> list[Judged]:
    """What gets a name: the offenders, else the steepest lines."""
    distinct = _distinct(verdict.judged)
    if verdict.offenders:
        return [judged for judged in verdict.offenders if judged in distinct][:LABELLED]
    sloped = [judged for judged in distinct if judged.slopes]
    return sorted(sloped, key=lambda judged: -max(abs(slope.fit.slope) for slope in judged.slopes))[:LABELLED]


def _distinct(judged: Sequence[Judged]) -> list[Judged]:
    """One line for values that are the same: a block returns what its last layer does, or a constant times it."""
    found: list[Judged] = []
    for each in judged:
        twin = next((other for other in found if _same(other, each)), None)
        if twin is not None and each.activation.module == "":
            found[found.index(twin)] = each  # what the model returns, rather than what a constant is still to multiply
        elif twin is None:
            found.append(each)
    return found


def _same(a: Judged, b: Judged) -> bool:
    """Whether two activations differ by nothing, or outputs by no more than a constant for each width."""
    x, y = a.activation.values["l2"], b.activation.values["l2"]
    if np.array_equal(x, y, equal_nan=True):
        return True
    if a.activation.kind != "output" or b.activation.module or not np.isfinite(x).any():
        return False
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = (x / y).reshape(len(x), -1)
    return bool(np.nanmax(np.nanmax(ratio, 1) / np.nanmin(ratio, 1)) < 1.001) if np.isfinite(ratio).all() else False


def _entry(judged: Judged) -> str:
    name = judged.activation.name
    name = name if len(name) <= 34 else "…" + name[-33:]
    first = next((f"{slope.fit.slope:+.2f}" for slope in judged.slopes if slope.step == 0), "–")
    last = judged.slopes[-1] if judged.slopes else None
    change = f"{last.fit.slope:+.2f}" if last is not None and last.step else "–"
    return f"{name}  {first}, {change}".replace("-", "−") + (f"  {judged.non_finite}" if judged.non_finite else "")


def _label(panel: Any, run: Measurement, sizes: Array, number: int, bad: bool) -> None:
    """The number of the legend's entry beside the line's last point."""
    typical = _typical(sizes)
    there = np.flatnonzero(np.isfinite(typical))
    if len(there):
        at = there[-1]
        panel.annotate(
            str(number), (run.widths[at], typical[at]), xytext=(3 + 6 * ((number - 1) % 3), 0), fontsize=6.5,
            textcoords="offset points", va="center", color=_OFFENCE if bad else "black", annotation_clip=False,
        )  # fmt: skip


def _typical(sizes: Array) -> Array:
    """The geometric mean over seeds; NaN where nothing positive was measured."""
    usable = np.isfinite(sizes) & (sizes > 0)
    logs = np.where(usable, np.log(np.where(usable, sizes, 1.0)), 0.0)
    counts = usable.sum(axis=1)
    found: Array = np.where(counts > 0, np.exp(logs.sum(axis=1) / np.maximum(counts, 1)), np.nan)
    return found


def _styles(figure: Any) -> None:
    from matplotlib.lines import Line2D

    words = {"hidden": "hidden", "output": "output", "logits": "attention logits"}
    handles = [Line2D([], [], color="0.3", linestyle=STYLES[kind], label=text) for kind, text in words.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False, fontsize=7)
