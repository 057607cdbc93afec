"""What a search has found as part of a plan: settings, and constants beside the scales of width.

A factor on the initialization goes to every matrix, multipliers of readout, embedding and attention logits to the
modules that the audit has found to be that, factors on learning rates to the embeddings, gains or biases (TP5, arXiv
2203.03466, Table 2 and sections F.1 to F.4).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from ..convert.plan_sizes import PlanSizes
from ..convert.planner import make_plan
from ..convert.reservations import renewed
from ..errors import UserError
from ..findings.names import pattern_of
from ..plan.file import load_plan, write_plan
from ..plan.groups import momenta
from ..plan.plan import Plan
from ..plan.scales import WHOLE, Constants, Entry, Hook
from ..sweep.forward import Places, find_places
from ..sweep.knobs import KNOBS
from ..sweep.variant import DEFAULT_DECAYED
from ..targets.probe import Target

NOTE = "found by a search"
_SCHEDULE = "the schedule that a search found best, "
"""How the note of the schedule begins."""
_SIDES = {"readout": "input", "embedding": "output", "attention": "attention"}


def write_tuned(
    path: Path, target: Target, sizes: PlanSizes, values: Mapping[str, float], schedule: str = ""
) -> Plan:  # fmt: skip
    """Write what was found into the plan there, or into a new one.

    sizes: what the search was made at as the base, and what is to be trained, the model's own where that is left open.
    schedule: the best one where several were searched, a note of the plan.

    Raises:
        UserError: the plan there is for another model or base, or none can be made.
    """
    width = sizes.base_width or target.axes[0].probes[0]
    plan = load_plan(path) if path.exists() else _new(target, width, sizes)
    _check_base(path, plan, width, sizes.base_depth)
    names = [name for name, _ in target.build(target.sizes(0), 0).named_modules() if name]
    found = renewed(with_tuned(plan, values, lambda: find_places(target), names), target)
    kept = tuple(note for note in found.notes if not note.startswith(_SCHEDULE))
    found = replace(
        found, notes=(*kept, *([f"{_SCHEDULE}{schedule}: set it in the training script"] if schedule else []))
    )
    write_plan(found, path)
    return found


def _new(target: Target, width: int, sizes: PlanSizes) -> Plan:
    depths = None
    if sizes.base_depth is not None:
        depths = sizes.base_depth, sizes.depth or target.depths[0].default or sizes.base_depth
    return make_plan(target, width, sizes.width or target.axes[0].default or width, depths=depths)


def _check_base(path: Path, plan: Plan, width: int, depth: int | None) -> None:
    """Raise UserError where a plan's base is not where the search was made."""
    if plan.base_width != width:
        raise UserError(f"{path} has the base width {plan.base_width}, the search was made at {width}",
                        f"--at {plan.base_width} searches at its base, or name another file")  # fmt: skip
    if plan.depth_name and plan.base_depth != depth:
        made = "the model's own" if depth is None else depth
        raise UserError(f"{path} has the base depth {plan.base_depth}, the search was made at {made}",
                        f"--at-depth {plan.base_depth} searches at its base, or name another file")  # fmt: skip
    if depth is not None and not plan.depth_name:
        raise UserError(f"{path} does not go over depth, and the search was made at depth {depth}",
                        "leave out --at-depth, or name another file")  # fmt: skip


def with_tuned(
    plan: Plan, values: Mapping[str, float], places: Callable[[], Places], modules: Collection[str]
) -> Plan:  # fmt: skip
    """The plan with these values in place of any that it had. modules: the names of all modules of the model.

    Raises:
        UserError: the model has no module for one of the multipliers.
    """
    init = values.get("init", 1.0)
    rates = {name: value for name, value in values.items() if KNOBS[name].where == "rate"}
    settings = {name: value for name, value in values.items() if KNOBS[name].where in ("optimizer", "training")}
    forward = {name: value for name, value in values.items() if KNOBS[name].where == "forward"}
    hooks = [replace(hook, constant=1.0) for hook in plan.hooks if hook.exponent or hook.depth]
    where = places() if forward or rates else None
    for name, value in forward.items():
        chosen = getattr(where, name)
        if not chosen:
            raise UserError(f"--hp {name}: no module of this model is its {name}", "leave it out")
        for pattern in _folded(chosen, modules):
            hooks = _with_constant(hooks, pattern, _SIDES[name], value)
    made_for = plan.made_for
    if made_for is not None:
        kept = {name: value for name, value in settings.items() if name in made_for.settings}
        made_for = replace(made_for, settings={**made_for.settings, **kept, **momenta(plan, settings)})
    trained = {name: value for knob, value in rates.items() for name in getattr(where, knob)}
    entries = tuple(replace(entry, constants=_constants(entry, init, trained)) for entry in plan.entries)
    return replace(plan, entries=entries, hooks=tuple(hooks), tuned=tuple(settings.items()), made_for=made_for)


def _constants(entry: Entry, init: float, rates: Mapping[str, float]) -> Constants:
    """rates: parameter → factor on its learning rate."""
    own = {rates[name] for name in rates if entry.matches(name)}
    if len(own) > 1:
        raise UserError(f"{entry.pattern} stands for embeddings, gains and biases that were given several learning "
                        "rates", "give them one, or name these parameters otherwise")  # fmt: skip
    return Constants(init=init if len(entry.shape) >= DEFAULT_DECAYED else 1.0, lr=next(iter(own), 1.0))


def _folded(chosen: Collection[str], modules: Collection[str]) -> Iterator[str]:
    """The modules' names, those of repeated blocks as one pattern where all of them are meant."""
    told: dict[str, None] = {}
    for name in chosen:
        pattern = pattern_of(name)
        alike = {each for each in modules if pattern_of(each) == pattern}
        told[pattern if alike <= set(chosen) else name] = None
    yield from told


def _with_constant(hooks: list[Hook], module: str, on: str, value: float) -> list[Hook]:
    """With the constant on a multiplier that is there, else as one of its own."""
    for place, hook in enumerate(hooks):
        if (hook.module, hook.on, hook.part) == (module, on, WHOLE):
            return [*hooks[:place], replace(hook, constant=value), *hooks[place + 1 :]]
    return [Hook(module, on, 0.0, NOTE, constant=value), *hooks]
