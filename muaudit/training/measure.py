"""The whole measurement: one width after another, every seed, on the same data."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from ..audit import audit
from ..errors import UserError
from ..findings.model import Report
from ..targets.probe import Target
from .beforehand import check_device, check_widths, data_notices, lr_factor, sizes_at
from .ensemble import CannotStack
from .kept import Labels
from .lineage import Known
from .loop import RunNumbers, Work, look, out_of_memory, train, train_together
from .measurement import INTERRUPTED, PARAMETER_STATISTICS, STATISTICS, Activation, Array, Kind, Measurement, empty
from .predicted import predicted
from .run_settings import RunSettings, check_settings
from .sizes import Kind as TableKind
from .sizes import Sizes

Progress = Callable[[int, int, int], None]  # done, total, width


def measure(target: Target, settings: RunSettings, progress: Progress = lambda done, total, width: None) -> Measurement:
    """Train at every width and seed. Out of memory drops a width, an interrupt keeps what was measured.

    Raises:
        UserError: the settings or the user's code do not fit, or nothing could be measured.
    """
    check_settings(settings)
    check_device(settings.device)
    first = target.axes[0].probes[0]
    widths = settings.widths or tuple(first * factor for factor in (1, 2, 4, 8))
    collected = _Collected(widths, settings)
    collected.notices += data_notices(target, widths)
    check_widths(target, widths)
    factor = lr_factor(target, settings.lr)
    report = _prediction(target, collected.notices)
    _Runner(target, settings, factor, collected, progress).every_width()
    return collected.measurement(target, report)


class _Runner:
    """Trains one width after another, the seeds of each together where that works and pays."""

    def __init__(
        self, target: Target, settings: RunSettings, factor: float, collected: _Collected, progress: Progress
    ) -> None:
        self.target, self.settings, self.factor = target, settings, factor
        self.collected, self.progress = collected, progress
        self.together = settings.together and settings.seeds > 1
        self.checked = False
        self.spare: list[Sizes] = []

    def every_width(self) -> None:
        """Until done, interrupted, or out of memory: wider models would need more still."""
        try:
            with _quick_collections():
                self._look()
                for place in range(len(self.collected.widths)):
                    if not self._width(place):
                        return
        except KeyboardInterrupt:
            self._interrupted()

    def _look(self) -> None:
        try:
            look(self._work(0, 0, 1), self.settings.seed)
        except Exception as error:
            if not out_of_memory(error):
                raise

    def _width(self, place: int) -> bool:
        collected, settings = self.collected, self.settings
        seeds = [settings.seed + number for number in range(settings.seeds)]
        runs = self._all_seeds(place, seeds)
        for number, seed in enumerate(seeds):
            try:
                run = runs[number] if runs else train(self._work(place, number, 1), seed)
            except Exception as error:
                if not out_of_memory(error):
                    raise
                collected.drop(place)
                return False
            collected.add(place, number, run)
            if run.interrupted and number == len(runs or [run]) - 1:
                self._interrupted()
                return False
        gc.collect()  # a model often holds itself in a circle, and the next one needs its memory
        return True

    def _all_seeds(self, place: int, seeds: list[int]) -> list[RunNumbers]:
        """The runs of all seeds trained together; none where that does not work or does not pay."""
        if not self.together:
            return []
        try:
            runs = train_together(self._work(place, 0, len(seeds)), seeds, check=not self.checked)
        except CannotStack as reason:
            self.together = False
            if str(reason):
                self.collected.notices.append(f"seeds are trained one after another: {reason}")
            gc.collect()
            return []
        self.checked = True
        return runs

    def _work(self, place: int, seed: int, count: int) -> Work:
        width, steps = self.collected.widths[place], self.settings.steps + 1
        total = len(self.collected.widths) * self.settings.seeds * steps
        done = (place * self.settings.seeds + seed) * steps

        def tick(step: int) -> None:
            self.progress(done + step * count, total, width)

        sizes = sizes_at(self.target, width)
        return Work(self.target, sizes, self.settings, self.factor, tick, self.collected.known, self.spare)

    def _interrupted(self) -> None:
        total = len(self.collected.widths) * self.settings.seeds
        self.collected.notices.append(f"{INTERRUPTED}{self.collected.done} of {total} runs")


@contextmanager
def _quick_collections() -> Iterator[None]:
    """Leave out of garbage collections what was there before: torch's own objects take longer than a small model."""
    ours = not gc.get_freeze_count()
    if ours:
        gc.freeze()
    try:
        yield
    finally:
        if ours:
            gc.unfreeze()


@dataclass
class _Collected:
    """Arrays that fill up run by run."""

    widths: tuple[int, ...]
    settings: RunSettings
    notices: list[str] = field(default_factory=list)
    values: dict[str, dict[str, Array]] = field(default_factory=dict)
    parameters: dict[str, dict[str, Array]] = field(default_factory=dict)
    modules: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, dict[int, int]] = field(default_factory=dict)  # name → width's place → entries
    varying: set[str] = field(default_factory=set)
    logits: set[str] = field(default_factory=set)
    known: Known = field(default_factory=Known)
    done: int = 0

    def __post_init__(self) -> None:
        self.loss = self._empty()
        self._filed: dict[tuple[TableKind, Labels], list[Array]] = {}

    def _empty(self) -> Array:
        return empty(len(self.widths), self.settings.seeds, self.settings.steps)

    def _arrays(self, kind: TableKind, labels: Labels) -> list[Array]:
        """Where the numbers of such a table are filed; the same for all that are alike."""
        if (kind, labels) not in self._filed:
            into, statistics = (
                (self.values, STATISTICS) if kind == "activation" else (self.parameters, PARAMETER_STATISTICS)
            )
            for name in dict.fromkeys(name for name, _ in labels if name not in into and kind != "loss"):
                into[name] = {key: self._empty() for key in statistics}
            self._filed[kind, labels] = [self.loss if kind == "loss" else into[name][statistics[column]]
                                         for name, column in labels]  # fmt: skip
        return self._filed[kind, labels]

    def add(self, place: int, seed: int, run: RunNumbers) -> None:
        """File the numbers of one run. What is not a number was measured: infinite; NaN means nothing measured."""
        for table in run.tables:
            lost = np.isnan(table.numbers)
            if table.kind == "parameter":  # an update of what is zero is none that is infinite
                lost &= [column == 0 for _, column in table.labels]
            numbers = np.where(lost, np.inf, table.numbers).tolist()
            for array, number in zip(self._arrays(table.kind, table.labels), numbers, strict=True):
                array[place, seed, table.step] = number
        for name, size in run.sizes.items():
            if self.sizes.setdefault(name, {}).setdefault(place, size) != size:
                self.varying.add(name)
        self.varying |= run.reshaped
        self.modules.update(run.modules)
        self.logits |= run.logits
        self.done += not run.interrupted

    def drop(self, place: int) -> None:
        """Forget what was measured at this width, for which the memory was too small."""
        wider = self.widths[place + 1 :]
        also = f" and with it {', '.join(map(str, wider))}" if wider else ""
        self.notices.append(f"out of memory at width {self.widths[place]}: dropped{also}; the verdict uses the rest")
        for array in [
            self.loss,
            *(a for each in (self.values, self.parameters) for d in each.values() for a in d.values()),
        ]:
            array[place] = float("nan")

    def measurement(self, target: Target, report: Report | None) -> Measurement:
        """Everything so far, with what the audit predicts beside it."""
        settings = self.settings
        self._forget_changes()
        activations = tuple(
            Activation(
                name, self.modules[name], self._kind(name), values, read=name not in self.known.unread,
                logits_only=name in self.known.logits_only, of_outputs=self._of_outputs(name),
            )
            for name, values in self.values.items()
        )  # fmt: skip
        return Measurement(
            target=target.label, describe=target.describe, width_name=target.axes[0].name, widths=self.widths,
            steps=settings.steps, seeds=settings.seeds, seed=settings.seed, device=settings.device,
            dtype=settings.dtype, optimizer=f"{target.optimizer_name} ({target.optimizer_source})", lr=settings.lr,
            activations=predicted(activations, target, report), loss=self.loss, parameters=self.parameters,
            notices=tuple(self.notices), audit_verdict=report.verdict if report else None,
        )  # fmt: skip

    def _forget_changes(self) -> None:
        """Of rows that come and go the first and the last are not the same rows, whatever their number."""
        if not self.varying:
            return
        for name in self.varying:
            for key in ("change_l2", "change_l1"):
                self.values[name][key][:] = float("nan")
        some = ", ".join(sorted(self.varying)[:2]) + (", ..." if len(self.varying) > 2 else "")
        self.notices.append(
            f"data decide which rows reach {len(self.varying)} activations ({some}): their change is not judged"
        )

    def _of_outputs(self, name: str) -> bool:
        parents = self.known.parents.get(name, set())
        return bool(parents) and all(self._kind(parent) == "output" for parent in parents if parent in self.sizes)

    def _kind(self, name: str) -> Kind:
        if name in self.logits:
            return "logits"
        same = len(set(self.sizes[name].values())) == 1 and name not in self.varying
        return "output" if same and self.done > self.settings.seeds else "hidden"


def _prediction(target: Target, notices: list[str]) -> Report | None:
    try:
        return audit(target, as_trained=True)
    except UserError as error:
        notices.append(f"no prediction to compare with: {error.message}")
    except Exception as error:
        notices.append(f"no prediction to compare with: the audit failed with {type(error).__name__}: {error}")
    return None
