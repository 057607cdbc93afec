"""The pipeline of `muaudit sweep`: resolve, prepare, run what is missing, collect."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from ..convert.base_init import base_init
from ..isolation import LostTarget
from ..isolation.child import interrupted_by_user, tell, tell_now
from ..isolation.plain_data import plain
from ..targets.probe import Target
from ..training.beforehand import check_device
from ..training.run_settings import parse_depth_list
from . import prepare
from .budget import Clock, parse_budget
from .ensemble_size import automatic
from .flops import counter
from .knobs import parse_hps
from .local_runs import LocalRuns
from .over import parse_over
from .ranges import parse_values
from .remote import on_ray
from .reservations_of_sweep import caveats_of
from .result import SweepResult
from .results_file import Results, results_path
from .sweep_request import SweepRequest, beyond_ends
from .sweep_verdict import Tolerance
from .swept import variants_of
from .trainings import Grid
from .variant import SweepVariant
from .whole_sweep import Progress, Sweep, measured, quiet


def swept(request: SweepRequest) -> Any:
    """`carry_out` in a child, as plain data. Raises UserError."""
    measured, _ = carry_out(request, tell, announced)
    if measured.interrupted and not interrupted_by_user():
        raise LostTarget(measured.describe, "the audited code raised KeyboardInterrupt", "finished runs are kept")
    return plain(measured)


def announced(text: str) -> None:
    """Tell the parent what is planned."""
    tell_now(0, 0, text, None)


def carry_out(
    request: SweepRequest, progress: Progress = quiet, announce: Callable[[str], None] = lambda text: None
) -> tuple[SweepResult, Tolerance]:
    """Run the sweep, or the rest of it. Raises UserError."""
    check_device(request.device)
    target, variants, settings, widths = variants_of(request)
    plan = next((each.plan for each in variants if each.plan is not None), None)
    grid = Grid(
        tuple(variant.name for variant in variants),
        widths,
        parse_values(request.lr, "--lr") if request.lr is not None else prepare.default_rates(target, plan),
        request.seeds,
        request.seed,
        parse_hps(request.hp),
        beyond_ends(request),
        parse_over(request.over)[0] or ("depth" if request.depths is not None and request.widths is None else "width"),
    )
    for variant in variants:  # a hyperparameter or a width that cannot be is said before the first run
        variant.make(widths[0], {"lr": grid.lrs[0], **{name: values[0] for name, values in grid.hps.items()}}, 0)
    asked = {"set": sorted(request.set), "input": sorted(request.input)}
    asked |= {"init": [request.init or "none"]} if request.init or request.no_init else {}
    identity = prepare.identity(variants, settings, asked, _axis(request))
    results = Results(request.results or results_path(identity), identity)
    clock = Clock(parse_budget(request.budget) if request.budget is not None else None)
    runs = LocalRuns(variants, settings, clock, _together(request))
    titles = {variant.name: variant.title for variant in variants}
    sweep = Sweep(titles, grid, results, clock, runs, settings.steps, progress, announce)
    runs.tick, runs.note = sweep.tick, sweep.note
    sweep.notices += [note for variant in variants[:1] if (note := variant.task.note)]
    sweep.notices += caveats_of(variants, settings, grid.hps, *_ends(request, widths))
    sweep.near, sweep.decide = request.near or None, request.until_decided
    sweep.tolerance = Tolerance(request.tolerance, request.lost)
    if clock.budget is not None and clock.budget.unit == "FLOPs":
        clock.flops = counter(variants, settings)
    if request.ray is not None:
        sweep.runs = on_ray(request, runs, clock)
    sweep.run()
    _, depths = parse_depth_list(request.depths)
    main = next((each.name for each in variants if each.plan is not None), variants[0].name)
    setup = prepare.setup_line(variants, replace(grid, seeds=sweep.seeds), settings, depths)
    init = _base_init(target, variants)
    return measured(sweep, target.describe, setup, main, target.axes[0].name, init), sweep.tolerance


def _base_init(target: Target, variants: Sequence[SweepVariant]) -> str:
    """How large hidden weights start at the base width of a conversion, in words."""
    plan = next((variant.plan for variant in variants if variant.plan is not None), None)
    found = base_init(target, plan) if plan is not None and plan.m != 1.0 else None
    return "" if found is None else found.in_words()


def _ends(request: SweepRequest, sizes: Sequence[int]) -> tuple[dict[str, float], dict[str, float]]:
    """Width and depth of the smallest models and of the largest; the sizes are depths where no widths are given."""
    _, depths = parse_depth_list(request.depths)
    name, values = parse_over(request.over)
    if name:
        return {name: values[0]}, {name: values[-1]}
    found = {"depth": depths} if depths else {}
    found |= {} if depths and request.widths is None else {"width": tuple(sizes)}
    return {name: each[0] for name, each in found.items()}, {name: each[-1] for name, each in found.items()}


def _axis(request: SweepRequest) -> str:
    """What grows, in the identity of a sweep: nothing is said of widths alone."""
    if request.depths is None:
        return parse_over(request.over)[0]
    return f"widths with depths {request.depths}" if request.widths is not None else "depth"


def _together(request: SweepRequest) -> Callable[[SweepVariant, int], int]:
    if request.together:
        return lambda variant, width: request.together

    @lru_cache(maxsize=256)
    def by_name(name: str, width: int) -> int:
        return automatic(known[name], width, request.device)

    known: dict[str, SweepVariant] = {}

    def together(variant: SweepVariant, width: int) -> int:
        known[variant.name] = variant
        return by_name(variant.name, width)

    return together
