"""A search as it was asked for, checked before anything heavy is imported. Free of torch."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from muaudit.errors import UserError
from muaudit.sweep.budget import parse_budget
from muaudit.sweep.knobs import KNOBS, parse_hps
from muaudit.sweep.ranges import ends, parse_values
from muaudit.sweep.script_command import Script, placeholders
from muaudit.sweep.sweep_request import SweepRequest, check_request
from muaudit.thresholds import FEWEST_SEEDS
from muaudit.training.run_settings import parse_depth
from muaudit.tune.sample import Sample

Space = Mapping[str, "SearchRange"]


@dataclass(frozen=True)
class SearchRange:
    """What one hyperparameter is drawn from. values: those that were listed, or the ends of the range between which it
    may be anything."""

    name: str
    values: tuple[float, ...]
    between: bool

    def draw(self, chance: random.Random) -> float:
        """One value, evenly over the axis of the hyperparameter: in factors of two, for momenta of 1 − β."""
        if not self.between:
            return chance.choice(self.values)
        knob = KNOBS[self.name]
        place = chance.uniform(knob.axis(self.values[0]), knob.axis(self.values[-1]))
        return float(f"{knob.value(place):.3g}")


@dataclass(frozen=True)
class TuneRequest:
    """The options of `muaudit tune` as they were given. sweep: those that it shares with a sweep; its `held_depth` is
    the small depth."""

    sweep: SweepRequest = field(default_factory=SweepRequest)
    at: int | None = None
    samples: int = 32
    finalists: int = 4
    longer: float = 2.0
    target_width: int | None = None
    target_depth: int | None = None
    target_steps: int | None = None
    plan: Path | None = None
    grid: bool = False

    def space(self, default_lr: tuple[float, ...]) -> dict[str, SearchRange]:
        """What is drawn, the learning rate first. default_lr: its values, where none are given."""
        lr = self.sweep.lr
        found = {"lr": _range("lr", parse_values(lr, "--lr"), lr) if lr else SearchRange("lr", default_lr, True)}
        for text in self.sweep.hp:
            for name, values in parse_hps([text]).items():
                found[name] = _range(name, values, text.partition("=")[2])
        return found

    @property
    def schedules(self) -> tuple[str, ...]:
        """Those that are searched: of one, a script has to be told, too."""
        given = tuple((self.sweep.schedule or "").split(","))
        return given if len(given) > 1 or self.sweep.command is not None else ("",)

    def drawn(self, space: Space) -> list[Sample]:
        """The samples in their order; asking for more keeps those that were drawn before; of a grid all."""
        if self.grid:
            grid = itertools.product(itertools.product(*(choice.values for choice in space.values())), self.schedules)
            return [Sample(tuple(zip(space, each, strict=True)), schedule) for each, schedule in grid]
        found: dict[Sample, None] = {}
        chance = random.Random(self.sweep.seed)
        for _ in range(100 * self.samples):
            if len(found) == self.samples:
                break
            values = tuple((name, choice.draw(chance)) for name, choice in space.items())
            schedule = chance.choice(self.schedules) if len(self.schedules) > 1 else self.schedules[0]
            found[Sample(values, schedule)] = None
        return list(found)


def _range(name: str, values: tuple[float, ...], text: str) -> SearchRange:
    """All of what lies between the ends of a range as they were given, or one of the listed values."""
    if ".." not in text or values[0] <= 0:
        return SearchRange(name, values, False)
    return SearchRange(name, ends(text, name), True)


def check_tune(request: TuneRequest) -> None:
    """Raise UserError for whatever can be seen to be wrong without a model."""
    named = request.sweep.schedule if request.sweep.command is None else None  # a script has schedules of its own
    check_request(replace(request.sweep, command=None, loss_file=None, loss_name=None, schedule=named))
    parse_depth(request.sweep.held_depth)
    if request.sweep.command is not None:
        _check_command(request)
    elif request.sweep.loss_file or request.sweep.loss_name:
        raise UserError("--loss-file and --loss-name are for runs of a script", "give --command too")
    if request.sweep.seeds < FEWEST_SEEDS:
        raise UserError(f"--seeds {request.sweep.seeds}: the best of a search needs {FEWEST_SEEDS} or more to be told")
    if not request.grid and request.finalists > request.samples:
        raise UserError(f"--finalists {request.finalists} of {request.samples} samples")
    if not (request.longer == 1 or request.longer >= 1.5) or not math.isfinite(request.longer):
        raise UserError(f"--longer expects a factor from 1.5 on, or 1 for none, found {request.longer:g}")
    if (request.target_steps is not None and request.target_width is None) or (
        request.target_width is not None and request.target_steps is None and request.plan is None
    ):
        raise UserError("--target-width and --target-steps say together what the search is to be held against")
    if request.target_depth is not None and request.sweep.held_depth is None:
        raise UserError("--target-depth needs --at-depth, at how many blocks to search", "for example --at-depth 2")
    if request.sweep.budget is not None and parse_budget(request.sweep.budget).unit == "FLOPs":
        raise UserError("tune counts no FLOPs", "give --budget as a time")


def _check_command(request: TuneRequest) -> None:
    """What a script leaves no room for, and what it needs."""
    shared = request.sweep
    ours = {"a target": shared.target, "--plan": request.plan, "--data": shared.data,
            "--optimizer": shared.optimizer, "--set": shared.set, "--input": shared.input, "--init": shared.init,
            "--no-init": shared.no_init, "--width": shared.width, "--training-loss": shared.training_loss,
            "--clip": shared.clip, "--target-width": request.target_width, "--at-depth": shared.held_depth}  # fmt: skip
    for flag, given in ours.items():
        if given:
            raise UserError(f"--command and {flag}: the script is trained as it is", "give one of them")
    for flag, needed in (("--at", request.at), ("--lr", shared.lr)):
        if needed is None:
            raise UserError(f"--command needs {flag}", "for example --at 64 --lr 1e-4..1e-1")
    script = Script(shared.command or "", shared.loss_file, shared.loss_name)
    schedules = [] if shared.schedule is None else request.schedules
    if len(set(schedules)) < len(schedules) or not all(schedules):
        raise UserError(f"--schedule {shared.schedule!r} expects names, each once", "for example constant,cosine")
    if "schedule" in placeholders(script.command, "--command") and not schedules:
        raise UserError(
            "--command has {schedule}, and no schedules are given", "for example --schedule constant,cosine"
        )
    script.check([*(name for name in request.space(()) if name != "lr"), *(["schedule"] if schedules else [])],
                 shared.seeds, searched=True)  # fmt: skip
    if request.longer != 1 and "{steps}" not in script.command:
        raise UserError("--command has no {steps}, and the finalists are to be run longer",
                        "put it into the command, or give --longer 1")  # fmt: skip


def default_results(digest: str) -> Path:
    """A results file of a search's own."""
    return Path("mup") / f"tune-{digest}.jsonl"
