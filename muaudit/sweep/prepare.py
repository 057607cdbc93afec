"""From what the command line says to the variants of a sweep, and what tells this sweep from another."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..convert.planner import make_plan
from ..errors import UserError
from ..plan.plan import Plan
from ..plan.scales import Constants
from ..targets.probe import Target
from .forward import Places, find_places
from .over import OVER
from .ranges import shown
from .tasks import choose
from .trainings import Grid, TrainingSettings
from .variant import SweepVariant, reference

ORIGINAL, CONVERTED, OTHER = "original", "converted", "other"


def variant(
    name: str,
    target: Target,
    settings: TrainingSettings,
    plan: Plan | None = None,
    along: Callable[[Target], Target] = lambda target: target,
) -> SweepVariant:
    """One thing to sweep. along: see `SweepVariant`. Raises UserError where the data do not fit the target."""
    label = target.label.partition("(")[0]
    title = f"{label} as it is" if name == ORIGINAL else f"{label} converted to µP" if plan is not None else label

    @lru_cache(maxsize=1)
    def places() -> Places:
        return find_places(target)

    seen = along(target)
    task = choose(seen, settings.data, settings.batch_size)
    over = seen.axes[0].name
    if (over == "batch" and task.name == "own") or (over == "sequence" and task.name != "text"):
        raise UserError(f"--over {over}: {task.describe} come as they are", "--data text has any batch and length")
    if not settings.held_out:
        task = replace(task, held_out=None)
    elif task.held_out is not None:
        task = replace(task, describe=f"{task.describe}, judged by others that are held out",
                       identity={**task.identity, "judged": "held out"})  # fmt: skip
    return SweepVariant(name, title, seen, task, plan, places, along, target)


def converted(
    target: Target, widths: tuple[int, ...], depths: tuple[int, ...], base_width: int | None, base_depth: int | None
) -> Plan:
    """The plan that keeps the base sizes (the smallest) as they are. Raises UserError where none can be made."""
    if not depths:
        return make_plan(target, base_width or widths[0], widths[-1])
    over = base_depth or depths[0], depths[-1]
    if not widths:
        return make_plan(target, None, target.axes[0].probes[0], depths=over)
    return make_plan(target, base_width or widths[0], widths[-1], depths=over)


def default_widths(target: Target) -> tuple[int, ...]:
    """The first probe, and 2, 4 and 8 times that."""
    return tuple(target.axes[0].probes[0] * factor for factor in (1, 2, 4, 8))


def default_rates(target: Target, plan: Plan | None = None) -> tuple[float, ...]:
    """Nine powers of two around the learning rate that a plan was tuned to, else the optimizer's own."""
    tuned = dict(plan.tuned).get("lr") if plan is not None else None
    middle = round(math.log2(tuned or reference(target)["lr"]))
    return tuple(2.0 ** (middle + step) for step in range(-4, 5))


def identity(
    variants: list[SweepVariant], settings: TrainingSettings, options: Mapping[str, Any], axis: str = ""
) -> dict[str, Any]:
    """What every run depends on besides its own job; widths, values and seeds may be added later.

    axis: what grows, where it is not the widths alone.
    """
    left_out = ("data", "batch_size", "held_out", *(["clip"] if settings.clip is None else []))
    trained = {key: value for key, value in asdict(settings).items() if key not in left_out}
    found: dict[str, Any] = {}
    for each in variants:
        source = Path(each.target.path or each.target.class_file or "")
        found[each.name] = {
            "target": each.target.label,
            "source": _digest(source.read_bytes()) if source.is_file() else None,
            "plan": _digest(repr(_acting(each.plan)).encode()) if each.plan is not None else None,
            "optimizer": each.target.optimizer_name,
            **each.task.identity,
        }
        if axis:
            found[each.name]["along"] = axis
        if each.schedule:
            found[each.name]["schedule"] = each.schedule
    plain: dict[str, Any] = json.loads(json.dumps({**found, **trained, **options}, default=str))
    return plain


def setup_line(
    variants: list[SweepVariant], grid: Grid, settings: TrainingSettings, depths: tuple[int, ...] = ()
) -> str:
    """What was run, on one line. depths: one for each width, where both grow."""
    paired = f" at depths {', '.join(map(str, depths))}" if depths and grid.along == "width" else ""
    rates = f"lr {shown(grid.lrs[0])} to {shown(grid.lrs[-1])}" if len(grid.lrs) > 1 else f"lr {shown(grid.lrs[0])}"
    schedules = list(dict.fromkeys(each.schedule or settings.schedule for each in variants))
    decays = [each for each in schedules if each not in ("constant", "own")]
    schedule = f", {' and '.join(schedules)}" if len(schedules) > 1 else f", {decays[0]} decay" if decays else ""
    schedule += f", gradients clipped at {settings.clip:g}" if settings.clip is not None else ""
    return (
        f"{OVER[grid.along].plural} {', '.join(map(str, grid.widths))}{paired}; "
        f"{rates} ({len(grid.lrs)} values), {grid.seeds} "
        f"seed{'s' * (grid.seeds > 1)}, {settings.steps} steps{schedule}; {variants[0].target.optimizer_name}; "
        f"{variants[0].task.describe}; {settings.device} {settings.dtype}"
    )


def _acting(plan: Plan) -> tuple[Any, ...]:
    """All of a plan that training depends on: its wording may change."""
    tuned = _tuned(plan)
    tensors = [(entry.pattern, entry.exponents, entry.gauge, entry.optimizer) for entry in plan.entries]
    hooks = [(hook.module, hook.on, hook.exponent, hook.part) for hook in plan.hooks]
    if plan.depth_name:
        deeper = [(entry.pattern, entry.depth) for entry in plan.entries], [hook.depth for hook in plan.hooks]
        return plan.base_width, plan.base_depth, plan.optimizer, sorted(tensors), hooks, deeper, *tuned
    return plan.base_width, plan.optimizer, sorted(tensors), hooks, *tuned


def _tuned(plan: Plan) -> tuple[Any, ...]:
    """What a search has found, but for the learning rate, which is swept; nothing where there was none."""
    constants = sorted((e.pattern, e.constants.factors) for e in plan.entries if e.constants != Constants())
    hooks = [(hook.module, hook.on, hook.constant) for hook in plan.hooks if hook.constant != 1.0]
    settings = sorted((name, value) for name, value in plan.tuned if name != "lr")
    return (constants, hooks, settings) if constants or hooks or settings else ()


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
