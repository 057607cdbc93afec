"""Training one unit of runs: together as an ensemble where that works, else one after another."""

from __future__ import annotations

import contextlib
import io
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from ..errors import UserError
from ..targets.probe import Inputs
from ..targets.schedulers import stepper
from ..targets.usercode import describe, seed_everything, user_error
from ..thresholds import BY_CHANCE, MOST_ERRORS
from ..training.beforehand import sizes_at
from ..training.ensemble import CannotStack, Ensemble
from ..training.loop import moved, out_of_memory
from ..training.lost_runs import LOOK, is_lost
from ..training.run_settings import DTYPES
from .along import thinned
from .out_of_time import OutOfTime
from .over import STEPS
from .student import quantile
from .trainings import Training, TrainingOutcome, TrainingSettings, Unit
from .variant import SweepVariant

Step = Callable[[], None]


def train_unit(
    variant: SweepVariant,
    unit: Unit,
    settings: TrainingSettings,
    tick: Step = lambda: None,
    note: Callable[[str], None] = lambda text: None,
) -> list[TrainingOutcome]:
    """Train the unit's runs and say what they came to.

    tick: called after every step, may raise OutOfTime. note: told why the runs could not be trained as one.

    Raises:
        UserError: the user's code raised.
    """
    if variant.target.axes[0].name == STEPS:  # how long a run is, is what is swept
        settings = replace(settings, steps=unit.jobs[0].width)
    if len(unit.jobs) > 1:
        try:
            return _together(variant, unit.jobs, settings, tick)
        except OutOfTime:
            raise
        except Exception as error:  # an error of the user's own comes again below, with the run that it is of
            note(f"{variant.title} is trained run by run: {describe(error)}")
    return [_alone(variant, job, settings, tick) for job in unit.jobs]


class Watch:
    """The losses of one run, and whether it has diverged: not finite, or far above where it began."""

    def __init__(self) -> None:
        self.losses: list[float] = []

    def add(self, losses: Sequence[float]) -> None:
        """The next few losses."""
        self.losses += losses

    @property
    def diverged(self) -> bool:
        """Whether there is no point in going on."""
        return is_lost(self.losses)

    def outcome(
        self, job: Training, settings: TrainingSettings, held_out: Callable[[], float | None] = lambda: None
    ) -> TrainingOutcome:
        """The mean over the last steps; a run that ends above where it began, by more than batches differ, diverged.

        held_out: the loss of data that were not trained on, which counts in its place where there are some.
        """
        first = self.losses[0] if math.isfinite(self.losses[0]) else None
        count = max(1, round(settings.tail * settings.steps))
        final = sum(self.losses[-count:]) / count
        lost = self.diverged or first is None or not math.isfinite(final) or final - first > self._noise(count)
        if not lost and (judged := held_out()) is not None:
            final, lost = judged, not math.isfinite(judged)
        return TrainingOutcome(
            job, None if lost else float(f"{final:.9g}"), first and float(f"{first:.9g}"), len(self.losses),
            thinned(self.losses, settings.steps),
        )  # fmt: skip

    def _noise(self, count: int) -> float:
        """What the mean of the last `count` losses may be above the first by chance, once in a thousand runs.

        The losses of two steps differ by the noise of their batches and by what is learned or lost between them; the
        quieter half of the run is taken, as one that blows up is no measure of it.
        """
        steps = [later - earlier for earlier, later in itertools.pairwise(self.losses)]
        halves = [part for part in (steps[: len(steps) // 2], steps[len(steps) // 2 :]) if part]
        spread, known = min(
            ((math.sqrt(sum(step**2 for step in part) / len(part) / 2), len(part)) for part in halves), default=(0.0, 1)
        )
        return min(quantile(BY_CHANCE, known), MOST_ERRORS) * spread * math.sqrt(1 + 1 / count)


def rate(settings: TrainingSettings, step: int) -> float:
    """The learning rate at a step as a share of its peak."""
    if step < settings.warmup:
        return (step + 1) / (settings.warmup + 1)
    left = (settings.steps - step) / max(1, settings.steps - settings.warmup)
    if settings.schedule == "linear":
        return left
    return 0.5 * (1 + math.cos(math.pi * (1 - left))) if settings.schedule == "cosine" else 1.0


class _Schedule:
    """The learning rates of one optimizer, step by step: ours, or the user's scheduler."""

    def __init__(self, variant: SweepVariant, optimizer: torch.optim.Optimizer, settings: TrainingSettings) -> None:
        self.optimizer, self.settings = optimizer, settings
        self.peaks = [float(group["lr"]) for group in optimizer.param_groups]
        self.theirs: Callable[[], None] | None = None
        self.settings = settings = replace(settings, schedule=variant.schedule or settings.schedule)
        if settings.schedule == "own" and variant.target.scheduler is not None:
            self.theirs = stepper(variant.target.scheduler, optimizer)

    def before(self, step: int) -> None:
        """Set the learning rates of this step."""
        if self.settings.schedule != "own":
            for group, peak in zip(self.optimizer.param_groups, self.peaks, strict=True):
                group["lr"] = peak * rate(self.settings, step)

    def after(self) -> None:
        """Let the user's scheduler know."""
        if self.theirs is not None:
            self.theirs()


def _alone(variant: SweepVariant, job: Training, settings: TrainingSettings, tick: Step) -> TrainingOutcome:
    def run() -> TrainingOutcome:
        model, optimizer = _made(variant, job, settings)
        schedule, watch, pending = _Schedule(variant, optimizer, settings), Watch(), []
        clip = _clip(variant, job, settings)
        for step, inputs in zip(range(settings.steps), _data(variant, job, settings), strict=False):
            schedule.before(step)
            loss = variant.task.loss(model(*inputs.args, **inputs.kwargs), inputs)
            pending.append(loss.detach())
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            if clip is not None:
                nn.utils.clip_grad_norm_(model.parameters(), clip)
            optimizer.step()
            schedule.after()
            tick()
            if len(pending) == LOOK or step == settings.steps - 1:
                watch.add(torch.stack(pending).cpu().double().tolist())
                pending.clear()
                if watch.diverged:
                    break
        return watch.outcome(job, settings, lambda: _held_out(variant, model, job, settings))

    return _guarded(run, variant, job)


def _together(
    variant: SweepVariant, jobs: Sequence[Training], settings: TrainingSettings, tick: Step
) -> list[TrainingOutcome]:
    """One ensemble for all jobs; a run that diverges is dropped from it. Raises CannotStack, RuntimeError."""

    def run() -> list[TrainingOutcome]:
        made = [_made(variant, job, settings) for job in jobs]
        schedules = [_Schedule(variant, optimizer, settings) for _, optimizer in made]
        ensemble = Ensemble([model for model, _ in made], [optimizer for _, optimizer in made])
        watches, alive, pending = [Watch() for _ in jobs], list(range(len(jobs))), []
        clips = [_clip(variant, job, settings) for job in jobs]
        for step, inputs in zip(range(settings.steps), _data(variant, jobs[0], settings), strict=False):
            for place in alive:
                schedules[place].before(step)

            def value(model: nn.Module, inputs: Inputs = inputs) -> torch.Tensor:
                return variant.task.loss(model(*inputs.args, **inputs.kwargs), inputs)

            if step == 0 and not ensemble.agrees(value):
                raise CannotStack("trained together, the models give other losses than apart")
            losses = ensemble.run(value)
            pending.append(losses.detach())
            ensemble.backward(losses)
            _clip_each(ensemble, [clips[place] for place in alive])
            ensemble.step()
            for place in alive:
                schedules[place].after()
            tick()
            if len(pending) == LOOK or step == settings.steps - 1:
                for place, row in zip(alive, torch.stack(pending).cpu().double().T.tolist(), strict=True):
                    watches[place].add(row)
                pending.clear()
                kept = [at for at, place in enumerate(alive) if not watches[place].diverged]
                if len(kept) < len(alive):
                    if not kept:
                        break
                    ensemble.keep(kept)
                    alive = [alive[at] for at in kept]
        return [
            watch.outcome(job, settings, lambda model=model, job=job: _held_out(variant, model, job, settings))  # type: ignore[misc]
            for watch, job, (model, _) in zip(watches, jobs, made, strict=True)
        ]

    return run()


def _clip(variant: SweepVariant, job: Training, settings: TrainingSettings) -> float | None:
    """The largest norm of a gradient: of the run, of what its plan was tuned to, or of all runs."""
    tuned = dict(variant.plan.tuned) if variant.plan is not None else {}
    return job.hp.get("clip", tuned.get("clip", settings.clip))


def _clip_each(ensemble: Ensemble, clips: Sequence[float | None]) -> None:
    """As `clip_grad_norm_` does it, member by member."""
    if all(clip is None for clip in clips) or not ensemble.gradients:
        return
    gradients = list(ensemble.gradients.values())
    norms = torch.stack([gradient.flatten(1).norm(dim=1) for gradient in gradients]).norm(dim=0)
    most = norms.new_tensor([math.inf if clip is None else clip for clip in clips])
    shares = (most / (norms + 1e-6)).clamp(max=1.0)
    for gradient in gradients:
        gradient.mul_(shares.to(gradient.dtype).view(-1, *(1,) * (gradient.dim() - 1)))


def _held_out(variant: SweepVariant, model: nn.Module, job: Training, settings: TrainingSettings) -> float | None:
    """The mean loss of the model, as it is used, over data that are not trained on; None where there are none."""
    if variant.task.held_out is None:
        return None
    device, dtype = torch.device(settings.device), getattr(torch, DTYPES[settings.dtype])
    model.eval()
    losses = []
    with torch.no_grad():
        for each in variant.task.held_out(sizes_at(variant.target, job.width)):
            inputs = moved(each, device, dtype)
            losses.append(variant.task.loss(model(*inputs.args, **inputs.kwargs), inputs).double())
    return float(torch.stack(losses).mean())


def _made(variant: SweepVariant, job: Training, settings: TrainingSettings) -> tuple[nn.Module, torch.optim.Optimizer]:
    """The model on its device before the optimizer sees its parameters."""
    with contextlib.redirect_stderr(io.StringIO()):  # what the user's code prints, it has printed while it was probed
        return variant.make(job.width, job.hp, job.seed, _mover(settings))


def _mover(settings: TrainingSettings) -> Callable[[nn.Module], nn.Module]:
    dtype = getattr(torch, DTYPES[settings.dtype])
    return lambda model: model.to(device=settings.device, dtype=dtype)


def _data(variant: SweepVariant, job: Training, settings: TrainingSettings) -> Any:
    device, dtype = torch.device(settings.device), getattr(torch, DTYPES[settings.dtype])
    stream = variant.task.batches(sizes_at(variant.target, job.width), job.seed)
    seed_everything(job.seed)  # dropout is the same for every hyperparameter
    return (moved(inputs, device, dtype) for inputs in stream)


def _guarded(run: Callable[[], TrainingOutcome], variant: SweepVariant, job: Training) -> TrainingOutcome:
    try:
        return run()
    except (UserError, OutOfTime, torch.OutOfMemoryError, MemoryError):
        raise
    except Exception as error:
        if out_of_memory(error):
            raise
        raise user_error(f"training {variant.title} at width {job.width}", error) from error
