"""A coordinate check over depth: one number of blocks after another, every seed, on the same data.

What 3.8 of the design asks of a residual stack (CompleteP, arXiv 2505.01618), measured: the stream keeps its size and
its change, what one of L blocks adds changes by 1/L, and what is inside of a block changes as it does in a shallow one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import nn

from ..analysis import Analysis
from ..audit.over_depth import analysed_over_depth, report_over_depth
from ..errors import UserError
from ..findings.model import Report
from ..parametrizations.profiles import COMPLETEP
from ..targets.at_depth import depths_at
from ..targets.probe import Inputs, Target
from ..targets.usercode import guarded, seed_everything
from ..trace.blocks import Blocks, in_every_block, repeated
from ..trace.kernels import probe_kernels
from ..trace.recorder import Recording, watched
from .beforehand import check_device, lr_factor
from .loop import Work, out_of_memory
from .measurement import INTERRUPTED, STATISTICS, Activation, Array, Measurement, empty
from .points import Point, points_of, tensors_at
from .predicted import sizes_over_depth
from .run_settings import RunSettings, check_settings

Progress = Callable[[int, int, int], None]  # done, total, depth
_LAZY = "MUP710"


def measure_over_depth(
    target: Target,
    settings: RunSettings,
    progress: Progress = lambda done, total, depth: None,
) -> Measurement:
    """Train at every depth and seed. Out of memory drops a depth, an interrupt keeps what was measured.

    Raises:
        UserError: the settings or the user's code do not fit, there is no stack of blocks whose number grows, or the
            blocks make no stream that can be read.
    """
    check_settings(settings)
    check_device(settings.device)
    known = analysed_over_depth(target, COMPLETEP)
    run = _Run(target, settings, lr_factor(target, settings.lr), _blocks(target), progress)
    with probe_kernels():
        run.every_depth()
    return run.measurement(known, report_over_depth(known, COMPLETEP))


def _blocks(target: Target) -> tuple[Blocks, ...]:
    """The containers whose blocks become more."""
    if not target.depths:
        raise UserError(f"{target.label} has no argument that looks like a number of blocks",
                        "name the one that is: --depths NAME=2,4,8")  # fmt: skip
    names = []
    for probe in (0, 1):
        sizes = target.sizes(0) | depths_at(target, target.depths[0].at(probe))
        names.append([name for name, _ in target.build(sizes, 0).named_parameters(remove_duplicate=False)])
    return repeated(*names)


@dataclass
class _Run:
    target: Target
    settings: RunSettings
    factor: float
    blocks: Sequence[Blocks]
    progress: Progress
    notices: list[str] = field(default_factory=list)
    points: dict[str, Point] = field(default_factory=dict)
    values: dict[str, dict[str, Array]] = field(default_factory=dict)
    done: int = 0

    def __post_init__(self) -> None:
        self.loss = self._empty()

    def _empty(self) -> Array:
        return empty(len(self.settings.depths), self.settings.seeds, self.settings.steps)

    def every_depth(self) -> None:
        """Until done, interrupted, or out of memory: deeper models would need more still."""
        depths, seeds = self.settings.depths, self.settings.seeds
        try:
            for place in range(len(depths)):
                for number in range(seeds):
                    try:
                        self._one(place, number)
                    except Exception as error:
                        if not out_of_memory(error):
                            raise
                        self.notices.append(f"out of memory at depth {depths[place]}: the verdict uses the rest")
                        return
                    self.done += 1
        except KeyboardInterrupt:
            self.notices.append(f"{INTERRUPTED}{self.done} of {len(depths) * seeds} runs")

    def _one(self, place: int, number: int) -> None:
        """One depth and seed: measured before each update, and after the last."""
        depth, seed, settings = self.settings.depths[place], self.settings.seed + number, self.settings
        sizes = self.target.sizes(0) | depths_at(self.target, depth)
        work = Work(self.target, sizes, settings, self.factor)
        model, optimizer = work.built(seed)
        inputs = work.inputs()
        watch = _Watch(self.target, model, inputs, self.blocks, seed)
        total = len(settings.depths) * settings.seeds * (settings.steps + 1)
        for step in range(settings.steps + 1):
            self.progress((place * settings.seeds + number) * (settings.steps + 1) + step, total, depth)
            loss, found = watch.look()
            self.loss[place, number, step] = _finite(float(loss.detach()))
            for name, columns in found.items():
                held = self.values.setdefault(name, {key: self._empty() for key in STATISTICS})
                for key, value in columns.items():
                    held[key][place, number, step] = _finite(value)
            if step < settings.steps:
                optimizer.zero_grad(set_to_none=True)
                with guarded(f"training {self.target.label} at depth {depth}"):
                    loss.backward()  # type: ignore[no-untyped-call]
                    optimizer.step()
        self.points |= {point.name: point for point in watch.points if point.name not in self.points}

    def measurement(self, known: Analysis, report: Report) -> Measurement:
        """Everything so far, with what the audit predicts beside it."""
        target, settings = self.target, self.settings
        lazy = any(each.rule == _LAZY for each in report.violations)
        here = [each.container for each in self.blocks]  # of what is in several blocks, the row of the last one
        rows = {in_every_block(row.module, here): row for row in report.activations if row.module_output}
        sizes = sizes_over_depth(known, here)
        activations = []
        for name, point in self.points.items():
            each = Activation(name, point.module, point.kind, self.values[name], point.file, point.line)
            row, size = rows.get(name), sizes.get(name)
            if size is not None:
                each = replace(
                    each, predicted_init=size.init, predicted_update=size.update, predicted_capped=size.capped
                )
            elif row is not None:
                each = replace(
                    each, file=row.file, line=row.line, predicted_init=row.init_exponent,
                    predicted_update=row.update_exponent, predicted_capped=row.capped_exponent,
                    ideal=row.ideal_exponent if point.kind == "inside" else None,
                )  # fmt: skip
            activations.append(each)
        return Measurement(
            target=target.label, describe=report.describe, width_name=target.depths[0].name, widths=settings.depths,
            steps=settings.steps, seeds=settings.seeds, seed=settings.seed, device=settings.device,
            dtype=settings.dtype, optimizer=f"{target.optimizer_name} ({target.optimizer_source})", lr=settings.lr,
            activations=tuple(activations), loss=self.loss, notices=tuple(self.notices),
            audit_verdict=report.verdict, axis="depth", alpha=0.5 if lazy else 1.0,
        )  # fmt: skip


class _Watch:
    """One model in training, looked at in its recorded forward passes."""

    def __init__(self, target: Target, model: nn.Module, inputs: Inputs, blocks: Sequence[Blocks], seed: int) -> None:
        self.target, self.model, self.inputs, self.blocks, self.seed = target, model, inputs, blocks, seed
        self.points: list[Point] = []
        self.first: Mapping[str, Sequence[torch.Tensor]] = {}
        self.nodes = 0

    def look(self) -> tuple[torch.Tensor, dict[str, dict[str, float]]]:
        """The loss, whose backward is still to come, and the statistics of every point by name."""
        seed_everything(self.seed)  # dropout masks stay the same from step to step
        recording, loss, values = watched(
            self.model, self.inputs.args, self.inputs.kwargs, lambda output: self.target.loss(output, self.inputs)
        )
        self._check(recording)
        now = tensors_at(self.points, recording, values)
        out: dict[str, dict[str, float]] = {}
        for name, tensors in now.items():
            out[name] = {"l2": _rms(tensors), "l1": _mean(tensors)}
            before = self.first.get(name)
            if before is not None and all(a.shape == b.shape for a, b in zip(before, tensors, strict=True)):
                change = [b - a for a, b in zip(before, tensors, strict=True)]
                out[name] |= {"change_l2": _rms(change), "change_l1": _mean(change)}
        if not self.first:
            self.first = {name: [tensor.clone() for tensor in tensors] for name, tensors in now.items()}
        return loss, out

    def _check(self, recording: Recording) -> None:
        if not self.points:
            self.points = points_of(recording, self.blocks)
            self.nodes = len(recording.graph.nodes)
        elif len(recording.graph.nodes) != self.nodes:
            raise UserError(
                f"{self.target.label} runs other operations after an update, so what changes cannot be compared",
                "data that decide what runs (routing, early exits) keep a check over depth from being made",
            )


def _rms(tensors: Sequence[torch.Tensor]) -> float:
    """The root of the mean, over blocks, of the mean square."""
    return float(torch.stack([tensor.double().square().mean() for tensor in tensors]).mean().sqrt())


def _mean(tensors: Sequence[torch.Tensor]) -> float:
    return float(torch.stack([tensor.double().abs().mean() for tensor in tensors]).mean())


def _finite(number: float) -> float:
    """A value that is not a number was measured: infinite, so that NaN can mean nothing measured."""
    return number if number == number else float("inf")
