"""Stepping the user's learning-rate scheduler, without training, and noting what it writes into the param groups."""

from __future__ import annotations

import bisect
import functools
import inspect
import itertools
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from muaudit.errors import UserError
from muaudit.targets.sound import check_rates
from muaudit.targets.usercode import guarded
from muaudit.thresholds import NO_RATE

MOST_STEPS = 20_000  # noted one by one
MOST_STEPPED = 10 * MOST_STEPS  # stepped one by one; schedulers that can jump are followed to their end
_USUAL, _SAMPLES, _LONGEST = 200, 64, 10_000_000
_WHERE = "scheduler(optimizer)"
_HINT = "expected a scheduler with .step(), or a function of the step that writes the param groups as your loop does"
_OF_SEVERAL_CURVES = (
    torch.optim.lr_scheduler.SequentialLR,
    torch.optim.lr_scheduler.CyclicLR,
    torch.optim.lr_scheduler.CosineAnnealingWarmRestarts,
)
_NOT_STEPS = ("last_epoch", "_step_count", "best", "cooldown_counter", "num_bad_epochs")

Rates = tuple[tuple[float, ...], ...]  # one row an optimizer, one learning rate a param group


@dataclass(frozen=True)
class Walk:
    """What a scheduler did to the learning rates of several optimizers (one a probe) as it was stepped.

    rates: the learning rates after each noted step, `before` those of the optimizers as they were built.
    """

    name: str
    before: Rates
    rates: Mapping[int, Rates]
    file: str | None
    line: int | None


def walk(make: Callable[[Any], Any], optimizers: Sequence[Any]) -> Walk:
    """Step the scheduler of every optimizer from warm-up to floor; the optimizers end up as they were built.

    Raises:
        UserError: `make` raised, or returned nothing that can be stepped.
    """
    before = _rates(optimizers)
    saved = [[dict(group) for group in groups_of(each)] for each in optimizers]
    noted: dict[int, Rates] = {}
    with warnings.catch_warnings(), guarded(_WHERE):
        warnings.simplefilter("ignore")  # torch asks for optimizer.step() first; nothing is trained here
        made = [make(each) for each in optimizers]
        for step in advanced(made):
            noted[step] = _rates(optimizers)
    check_rates([row for rows in noted.values() for row in rows], _WHERE)
    for each, groups in zip(optimizers, saved, strict=True):
        for group, settings in zip(groups_of(each), groups, strict=True):
            group.update(settings)
    name = name_of(made[0])
    file, line = place(make, name)
    return Walk(name, before, noted, file, line)


def advanced(made: Sequence[Any]) -> Iterator[int]:
    """Step what was made alike for several optimizers, from warm-up to floor; the numbers of the noted steps.

    Every one of the first 200 where the schedule is no longer, and of the first 20,000 where it counts on itself; else
    a sample.

    Raises:
        UserError: one of them cannot be stepped.
    """
    steppers = [stepper for each in made for stepper in _stepping(each)]
    parts = list(_parts(made[0]))
    horizon, jump, before = max(map(_end, parts), default=0) or _USUAL, all(map(_can_jump, parts)), 0
    for step in _steps(made[0], horizon):
        for number in range(step if jump else before + 1, step + 1):
            if not _advance(steppers, number):
                return
        yield step
        before = step


def untold(made: Any, step: int) -> bool:
    """Whether the steps to walk ended at `step` for their number alone, before a schedule's own end."""
    return step > MOST_STEPPED and not all(map(_can_jump, _parts(made)))


def name_of(made: Any) -> str:
    """What a scheduler is called: its class, `SequentialLR(LinearLR, CosineAnnealingLR)`, `A + B` for several."""
    return " + ".join(dict.fromkeys(_name(part) for part in _parts(made)))


def stepper(make: Callable[[Any], Any], optimizer: Any) -> Callable[[], None]:
    """Makes the scheduler for one optimizer; what it returns steps it once. Raises UserError as `walk`."""
    with guarded(_WHERE):
        steps = _stepping(make(optimizer))
    numbers = itertools.count(1)

    def step() -> None:
        number = next(numbers)
        with warnings.catch_warnings(), guarded(_WHERE):
            warnings.simplefilter("ignore")  # torch asks for optimizer.step() of the optimizer it was made for
            _advance(steps, number)

    return step


def _stepping(made: Any) -> list[Callable[[int], object]]:
    """What steps a scheduler, or several."""
    steppers = list(_steppers(made))
    if not steppers:
        raise UserError(f"{_WHERE} returned {type(made).__name__}, which cannot be stepped", _HINT)
    return steppers


def groups_of(optimizer: Any) -> list[dict[str, Any]]:
    parts = getattr(optimizer, "optimizers", None)
    parts = parts if isinstance(parts, (list, tuple)) else [optimizer]
    return [group for part in parts for group in part.param_groups]


def _rates(optimizers: Sequence[Any]) -> Rates:
    return tuple(tuple(float(group["lr"]) for group in groups_of(each)) for each in optimizers)


def _parts(made: Any) -> Iterator[Any]:
    """The schedulers in what was returned: one, several, or Lightning's {"scheduler": ..., "interval": ...}."""
    if isinstance(made, Mapping):
        yield from _parts(made.get("scheduler", made.get("lr_scheduler")))
    elif isinstance(made, (list, tuple)):
        for each in made:
            yield from _parts(each)
    elif made is not None:
        yield made


def _steppers(made: Any) -> Iterator[Callable[[int], object]]:
    for part in _parts(made):
        step = getattr(part, "step", None)
        if callable(step):
            yield functools.partial(_step, part)
        elif callable(part):
            yield functools.partial(_call, part)


def _call(function: Callable[[int], Any], step: int) -> None:
    """A function of the step. One that only returns a learning rate leaves open who writes it where."""
    found = function(step)
    if isinstance(found, (int, float)) and not isinstance(found, bool):
        raise UserError(f"{_WHERE} returned a function that returns a learning rate ({found:g})", _HINT)


def _step(scheduler: Any, step: int) -> None:
    plateau = isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau)
    if isinstance(scheduler, torch.optim.lr_scheduler.LRScheduler) and not plateau:
        if not _can_jump(scheduler) or scheduler.last_epoch == step - 1:
            scheduler.step()
        else:
            _jump(scheduler, step)
        return
    needed = [p for p in inspect.signature(scheduler.step).parameters.values() if p.default is p.empty]
    positional = [p for p in needed if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    scheduler.step(*[1.0 if "metric" in p.name or "loss" in p.name else step for p in positional])


def _jump(scheduler: Any, step: int) -> None:
    """To a step, past those before it: in a sequence the one whose turn it is counts from its milestone."""
    if isinstance(scheduler, torch.optim.lr_scheduler.SequentialLR):
        place = bisect.bisect_right(scheduler._milestones, step)
        scheduler.last_epoch = step
        _jump(scheduler._schedulers[place], step - (scheduler._milestones[place - 1] if place else 0))
    else:
        scheduler.step(step)


def _advance(steppers: list[Callable[[int], object]], step: int) -> bool:
    """One step of all; False where they have come to their end (OneCycleLR raises past its total)."""
    try:
        for stepper in steppers:
            stepper(step)
    except ValueError:
        if step > 1:
            return False
        raise
    return True


def _steps(made: Any, horizon: int) -> Sequence[int]:
    """Every step where there are few or schedulers count on themselves, else a sample up to and past the horizon."""
    parts = list(_parts(made))
    one_curve = not any(isinstance(part, _OF_SEVERAL_CURVES) for part in parts)
    jump = all(map(_can_jump, parts))
    if horizon <= (_USUAL if one_curve and jump else MOST_STEPS):
        return range(1, horizon + 2)
    if not jump:
        last = min(horizon, MOST_STEPPED) + 1
        return [*range(1, MOST_STEPS + 1), *range(MOST_STEPS + _USUAL, last, _USUAL), last - 1, last]
    samples = _SAMPLES if one_curve else 32 * _SAMPLES
    even = {max(1, horizon * k // samples) for k in range(samples + 1)}
    turns = {max(1, turn + k) for part in parts for turn in getattr(part, "_milestones", ()) for k in (-1, 0, 1)}
    return sorted(even | turns | {1, 2, 3, horizon - 1, horizon + 1})


def _can_jump(part: Any) -> bool:
    kinds = torch.optim.lr_scheduler
    if not callable(getattr(part, "step", None)):
        return callable(part)
    if isinstance(part, kinds.SequentialLR):
        return all(map(_can_jump, part._schedulers))
    by_count = (kinds.LambdaLR, kinds.OneCycleLR, *_OF_SEVERAL_CURVES)
    return isinstance(part, by_count) or hasattr(part, "_get_closed_form_lr")


def _end(part: Any) -> int:
    """How far to follow one scheduler; of a function of the step, small numbers say nothing about its end."""
    written = inspect.isfunction(part) or isinstance(part, (functools.partial, torch.optim.lr_scheduler.LambdaLR))
    return max(_horizon(part), _USUAL) if written else _horizon(part)


def _horizon(part: Any) -> int:
    """As far as the step counts that a scheduler mentions go, sub-schedulers and what its functions enclose included.

    They are added up: a schedule of several phases may count each of them.
    """
    if isinstance(part, torch.optim.lr_scheduler.ReduceLROnPlateau):
        return _to_the_bottom(part)
    counts = [_largest(value) for key, value in _mentioned(part).items() if key not in _NOT_STEPS]
    below = [_horizon(each) for each in getattr(part, "_schedulers", ())]
    milestones = getattr(part, "_milestones", None)
    offset = max(milestones) if isinstance(milestones, list) and milestones else 0
    return min(max([sum(counts), *(offset + each for each in below)]), _LONGEST)


def _to_the_bottom(plateau: torch.optim.lr_scheduler.ReduceLROnPlateau) -> int:
    """How many steps without progress take a learning rate to where it is none."""
    reductions = math.log(NO_RATE) / math.log(plateau.factor) if 0 < plateau.factor < 1 else 0
    return min(math.ceil(reductions) * (plateau.patience + plateau.cooldown + 1), _LONGEST)


def _mentioned(part: Any) -> dict[str, Any]:
    """Numbers and the like by name: attributes, and what functions enclose, those that they call included."""
    found = {} if inspect.isfunction(part) else dict(getattr(part, "__dict__", {}))
    functions = [part, *found.pop("lr_lambdas", ())]
    found.pop("optimizer", None)
    for function in functions:  # which grows by what these call
        if isinstance(function, functools.partial):
            found |= function.keywords | {f"argument {i}": value for i, value in enumerate(function.args)}
            function = function.func
        if inspect.isfunction(function):
            closed = inspect.getclosurevars(function)
            named = dict(closed.nonlocals) | dict(closed.globals)
            functions += [each for each in named.values() if inspect.isfunction(each) and each not in functions]
            found |= named
            found |= {f"constant {function.__name__} {i}": each for i, each in enumerate(function.__code__.co_consts)}
    return found


def _largest(value: Any) -> int:
    if isinstance(value, bool):
        return 0
    if isinstance(value, (int, float)):
        return int(value) if value == value and abs(value) < 1e9 and value == int(value) else 0
    if isinstance(value, Mapping):
        return max((_largest(each) for each in value), default=0)  # MultiStepLR counts its milestones
    if isinstance(value, (list, tuple)):
        return max((_largest(each) for each in value), default=0)
    return 0


def _name(part: Any) -> str:
    inner = getattr(part, "_schedulers", ())
    names = ", ".join(dict.fromkeys(_name(each) for each in inner))
    own = getattr(part, "__name__", None) or type(part).__name__
    return f"{own}({names})" if names else str(own)


def place(make: Callable[..., Any], name: str) -> tuple[str | None, int | None]:
    """The line of `make` that names the scheduler, else its first."""
    make = inspect.unwrap(make)
    try:
        lines, first = inspect.getsourcelines(make)
        file = inspect.getsourcefile(make)
    except (OSError, TypeError):
        return None, None
    short = name.partition("(")[0].partition(" ")[0]
    hits = [number for number, text in enumerate(lines) if short in text and "def " not in text]
    return file, first + (hits[-1] if hits else 0)
