"""The pipeline of `muaudit tune`: resolve, draw, train, choose, train the chosen ones again and longer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..convert.plan_sizes import PlanSizes
from ..errors import UserError
from ..isolation import LostTarget
from ..isolation.child import alive, interrupted_by_user, tell, tell_now
from ..isolation.plain_data import plain
from ..sweep import prepare
from ..sweep.budget import Clock, parse_budget
from ..sweep.ensemble_size import automatic
from ..sweep.local_runs import LocalRuns
from ..sweep.out_of_time import OutOfTime
from ..sweep.remote import on_ray
from ..sweep.remote_script import script_on_ray
from ..sweep.reservations_of_sweep import caveats_of
from ..sweep.results_file import Results
from ..sweep.script_command import Script, ScriptRuns
from ..sweep.sweep_request import PLANNED
from ..sweep.sweep_words import duration
from ..sweep.swept import variants_of
from ..sweep.trainings import Training, TrainingSettings, Unit, units, variant_name
from ..sweep.variant import SweepVariant
from ..sweep.whole_sweep import Runs
from ..targets.at_depth import at_depths, depths_at
from ..targets.probe import Target
from ..targets.skeleton import skeleton
from ..training.beforehand import check_device
from ..training.coord_check_lines import at_sizes
from ..training.run_settings import parse_depth
from .ranking import LONG, SHORT, Ranking, finalists_of, first_losses, job, rank
from .sample import Sample
from .tune_request import SearchRange, TuneRequest, default_results
from .tuned_plan import write_tuned

Progress = Callable[[int, int, str, float | None], None]


@dataclass(frozen=True)
class Tuned:
    """A search. share: of the training that it is for, None where that was not said. longer_steps: 0 without. depth:
    the small one, None where the model has its own."""

    describe: str
    setup: str
    width: int
    steps: int
    longer_steps: int
    ranking: Ranking
    results: str
    share: float | None = None
    notices: tuple[str, ...] = ()
    interrupted: bool = False
    plan: str = ""
    script: bool = False
    depth: int | None = None


def tuned(request: TuneRequest) -> Any:
    """`carry_out` in a child, as plain data. Raises UserError."""
    found = carry_out(request, tell, lambda text: tell_now(0, 0, text, None))
    if found.interrupted and not interrupted_by_user():
        raise LostTarget(found.describe, "the audited code raised KeyboardInterrupt", "finished runs are kept")
    return plain(found)


def carry_out(
    request: TuneRequest,
    progress: Progress = lambda done, total, what, left: None,
    announce: Callable[[str], None] = lambda text: None,
) -> Tuned:
    """Search, or go on with a search. Raises UserError."""
    if request.sweep.command is not None:
        space = request.space(())
        settings = TrainingSettings(steps=request.sweep.steps)
        search = _Search(request, None, [], settings, request.at or 0, request.drawn(space), progress)
    else:
        check_device(request.sweep.device)
        target, variants, settings, _ = variants_of(request.sweep)
        width = request.at or target.axes[0].probes[0]
        space = request.space(prepare.default_rates(target))
        samples = request.drawn(space)
        variants[0].make(width, samples[0].hp, 0)  # what cannot be is said before the first run
        search = _Search(request, target, variants, settings, width, samples, progress)
        values = {name: choice.values for name, choice in space.items() if name != "lr"}
        to = {} if request.target_width is None else {"width": request.target_width}
        to |= {} if request.target_steps is None else {"steps": request.target_steps}
        search.notices += caveats_of(variants, settings, values, {"width": width}, to)
    try:
        search.run(announce)
    except KeyboardInterrupt:
        search.interrupted = True
        search.notices.append(f"interrupted after {search.done} of {search.count} runs")
    except OutOfTime:
        search.notices.append(f"the budget ended after {search.done} of {search.count} runs")
    finally:
        search.results.close()
    searched = [f"{name} in {_range(choice)}" for name, choice in space.items()]
    searched += [f"schedule in {{{', '.join(request.schedules)}}}"] if any(request.schedules) else []
    return search.tuned(searched, search.write())


@dataclass
class _Search:
    """target, variants: None and none where a script makes the runs; else a variant for each schedule."""

    request: TuneRequest
    target: Target | None
    variants: Sequence[SweepVariant]
    settings: TrainingSettings
    width: int
    samples: list[Sample]
    progress: Progress
    results: Results = field(init=False)
    clock: Clock = field(init=False)
    notices: list[str] = field(default_factory=list)
    chosen: list[Sample] = field(default_factory=list)
    interrupted: bool = False

    def __post_init__(self) -> None:
        if not self.variants:
            shared = self.request.sweep
            identity: dict[str, Any] = {"command": shared.command, "loss_file": shared.loss_file,
                                        "loss_name": shared.loss_name, "steps": shared.steps}  # fmt: skip
        else:
            named = [each.called(SHORT) for each in self.variants]
            options = {"set": sorted(self.request.sweep.set), "input": sorted(self.request.sweep.input)}
            axis = "" if self.depth is None else f"widths at depth {self.depth}"
            identity = prepare.identity(named, self.settings, options, axis)
        identity |= {"longer": self.request.longer}
        digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:8]
        self.results = Results(self.request.sweep.results or default_results(digest), identity)
        budget = self.request.sweep.budget
        self.clock = Clock(parse_budget(budget) if budget is not None else None)

    @property
    def depth(self) -> int | None:
        """The small number of blocks, None where the model has its own."""
        return parse_depth(self.request.sweep.held_depth)[1]

    @property
    def where(self) -> str:
        """`width 64`, `width 64 and depth 2`."""
        return f"width {self.width}" + ("" if self.depth is None else f" and depth {self.depth}")

    @property
    def seeds(self) -> range:
        """Those that choose among the finalists: not the one that chose these."""
        first = self.request.sweep.seed + 1
        return range(first, first + self.request.sweep.seeds)

    @property
    def longer_steps(self) -> int:
        return 0 if self.request.longer == 1 else round(self.settings.steps * self.request.longer)

    @property
    def count(self) -> int:
        horizons = 2 if self.longer_steps else 1
        finalists = len(self.chosen) or min(self.request.finalists, len(self.samples))
        return len(self.samples) + finalists * self.request.sweep.seeds * horizons

    @property
    def done(self) -> int:
        return len(self.results.done)

    def run(self, announce: Callable[[str], None]) -> None:
        """Raises UserError, OutOfTime, KeyboardInterrupt."""
        first = self.request.sweep.seed
        jobs = [job(SHORT, self.width, first, sample) for sample in self.samples]
        runs = self._runs(SHORT, self.settings)
        announce(PLANNED + self._planned(runs, jobs))
        self._train(runs, jobs)
        losses = first_losses(self.results.done, self.width, first, self.samples)
        self.chosen = finalists_of(losses, self.request.finalists)
        if not self.chosen:
            raise UserError(
                f"all {len(losses)} samples diverged", "search lower learning rates, for example --lr 1e-5..1e-3"
            )
        self._train(runs, [job(SHORT, self.width, seed, each) for seed in self.seeds for each in self.chosen])
        if self.longer_steps:
            longer = self._runs(LONG, replace(self.settings, steps=self.longer_steps))
            self._train(longer, [job(LONG, self.width, seed, each) for seed in self.seeds for each in self.chosen])

    def _runs(self, name: str, settings: TrainingSettings) -> Runs:
        if not self.variants:
            shared = self.request.sweep
            schedules = tuple((variant_name(name, each), each) for each in self.request.schedules)
            script = Script(shared.command or "", shared.loss_file, shared.loss_name, schedules).of_steps(
                settings.steps
            )
            if shared.ray is not None:
                return script_on_ray(shared, script, self.clock)
            return ScriptRuns(script, self.clock, self._tick)
        variants = [each.called(name) for each in self.variants]
        device = self.request.sweep.device
        together = self.request.sweep.together
        members = (lambda each, width: together) if together else (lambda each, width: automatic(each, width, device))
        here = LocalRuns(variants, settings, self.clock, members, self._tick, self._note)
        if self.request.sweep.ray is not None:
            return on_ray(replace(self.request.sweep, steps=settings.steps), here, self.clock, name)
        return here

    def _planned(self, runs: Runs, jobs: Sequence[Training]) -> str:
        missing = self.results.missing(jobs)
        if missing:
            self.clock.rehearsed(self._short, self.width, runs.rehearse(self._units(runs, missing)[0]))
        seconds = self.clock.of_run(self._short, self.width)
        longer = self.request.longer if self.longer_steps else 0.0
        again = self.request.finalists * self.request.sweep.seeds
        about = "" if seconds is None else f": about {duration(seconds * (len(missing) + again * (1 + longer)))}"
        return (
            f"{len(self.samples)} samples at {self.where}, {self.settings.steps} steps; the best "
            f"{self.request.finalists} with {self.request.sweep.seeds} other seeds"
            + (f", and with {self.longer_steps} steps" if self.longer_steps else "") + about
        )  # fmt: skip

    def _train(self, runs: Runs, jobs: Sequence[Training]) -> None:
        for unit, outcomes in runs.train(self._units(runs, self.results.missing(jobs))):
            self.results.add(unit, outcomes)
            variant = unit.jobs[0].variant
            self.progress(self.done, self.count, f"{variant} runs", self._left(variant))

    def _units(self, runs: Runs, missing: Sequence[Training]) -> list[Unit]:
        """Runs of one schedule together, though schedules alternate; otherwise in their order."""
        if not missing:
            return []
        places = {each: place for place, each in enumerate(missing)}
        alike = sorted(missing, key=lambda each: each.variant)
        found = units(alike, runs.together(missing[0].variant, self.width))
        return sorted(found, key=lambda unit: places[unit.jobs[0]])

    @property
    def _short(self) -> str:
        """A variant of the shorter runs: those of any schedule take as long."""
        return variant_name(SHORT, self.request.schedules[0])

    def _left(self, variant: str) -> float | None:
        """Seconds until the search has come to its end, the finalists' runs included. variant: the one at work."""
        horizons = [outcome.job.variant.split()[0] for outcome in self.results.done.values()]
        again = (len(self.chosen) or self.request.finalists) * self.request.sweep.seeds
        short = len(self.samples) + again - horizons.count(SHORT)
        long = again - horizons.count(LONG) if self.longer_steps else 0
        seconds = self.clock.of_run(self._short, self.width)
        longer = None if seconds is None else seconds * self.request.longer
        longer = self.clock.of_run(variant, self.width) if variant.startswith(LONG) else longer
        return None if seconds is None or longer is None else max(0, short) * seconds + max(0, long) * longer

    def _tick(self) -> None:
        alive()
        if self.clock.over:
            raise OutOfTime

    def _note(self, text: str) -> None:
        if text not in self.notices:
            self.notices.append(text)

    def write(self) -> str:
        """Put the best into the plan that was asked for, where the search came to its end; returns that file."""
        path, best = self.request.plan, next(iter(self.ranking.finalists), None)
        if path is None or best is None or self.target is None:
            return ""
        if self.done < self.count:
            self.notices.append(f"{path} was not written: the search has not come to its end")
            return ""
        sizes = PlanSizes(self.width, self.request.target_width, self.depth, self.request.target_depth)
        write_tuned(path, self.target, sizes, best.sample.hp, best.sample.schedule)
        return str(path)

    @property
    def ranking(self) -> Ranking:
        """What is known so far."""
        first = self.request.sweep.seed
        return rank(self.results.done, self.width, self.seeds, self.samples, self.chosen, first)

    def tuned(self, searched: Sequence[str], plan: str) -> Tuned:
        """As plain data. plan: the file that the best was written into."""
        where = self.where.replace(" and", ",")
        setup = f"{where}; {', '.join(searched)}; {len(self.samples)} samples, {self.settings.steps} steps"
        describe = self.request.sweep.command or ""
        if self.target is not None:
            describe, setup = (
                at_sizes(self.target.describe, self.target.axes[0].name, (self.width,)),
                f"{setup}; {self.target.optimizer_name}; {self.variants[0].task.describe}",
            )
        return Tuned(
            describe, setup, self.width, self.settings.steps, self.longer_steps, self.ranking,
            str(self.results.path), self._share(), tuple(self.notices), self.interrupted, plan,
            not self.variants, self.depth,
        )  # fmt: skip

    def _share(self) -> float | None:
        """Of the target's training, by parameters times steps: batches of equal size."""
        width, steps = self.request.target_width, self.request.target_steps
        if width is None or steps is None or self.target is None:
            return None
        large_one = self.target
        if self.request.target_depth is not None:
            large_one = at_depths(self.target, depths_at(self.target, self.request.target_depth))
        small, large = _parameters(self.target, self.width), _parameters(large_one, width)
        spent = sum(outcome.steps for outcome in self.results.done.values())
        return spent * small / (steps * large)


def _parameters(target: Target, width: int) -> int:
    return sum(each.numel() for each in skeleton(target, width).model.parameters())


def _range(choice: SearchRange) -> str:
    if choice.between:
        return f"{choice.values[0]:.3g} to {choice.values[-1]:.3g}"
    return "{" + ", ".join(f"{value:.3g}" for value in choice.values) + "}"
