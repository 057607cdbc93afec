"""The pipeline of `muaudit sweep`: resolve, prepare, run what is missing, collect."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

from ..convert.plan import Plan, load_plan
from ..target import TargetOptions, parse_inputs, parse_set, parse_widths, resolve
from ..target.probe import Target
from ..training.run import check_device
from ..training.settings import parse_width_list
from . import prepare
from .budget import Clock, parse_budget
from .data import Measured
from .jobs import Grid, Settings
from .knobs import parse_hps
from .ranges import parse_values
from .request import Request
from .run import Progress, Sweep, measured, quiet
from .store import Results
from .together import automatic
from .variant import Variant
from .verdict import Tolerance


def carry_out(request: Request, progress: Progress = quiet) -> tuple[Measured, Tolerance]:
    """Run the sweep, or the rest of it. Raises UserError."""
    check_device(request.device)
    target, variants, settings, widths = variants_of(request)
    grid = Grid(
        tuple(variant.name for variant in variants),
        widths,
        parse_values(request.lr, "--lr") if request.lr is not None else prepare.default_rates(target),
        request.seeds,
        request.seed,
        parse_hps(request.hp),
    )
    for variant in variants:  # a hyperparameter or a width that cannot be is said before the first run
        variant.make(widths[0], {"lr": grid.lrs[0], **{name: values[0] for name, values in grid.hps.items()}}, 0)
    identity = prepare.identity(variants, settings, {"set": sorted(request.set), "input": sorted(request.input)})
    results = Results(request.results or prepare.default_path(identity), identity)
    clock = Clock(parse_budget(request.budget) if request.budget is not None else None)
    sweep = Sweep(variants, grid, settings, results, clock, _together(request), progress)
    sweep.notices += [note for variant in variants[:1] if (note := variant.task.note)]
    sweep.near = request.near
    if clock.budget is not None and clock.budget.unit == "FLOPs":
        from .flops import counter

        clock.flops = counter(variants, settings)
    if request.ray is not None:
        from .remote import on_ray

        sweep.trainer = on_ray(request)
    sweep.run()
    main = next((each.name for each in variants if each.plan is not None), variants[0].name)
    setup = prepare.setup_line(variants, grid, settings)
    return measured(sweep, target.describe, setup, main), Tolerance(request.tolerance, request.lost)


def variants_of(request: Request, made: Plan | None = None) -> tuple[Target, list[Variant], Settings, tuple[int, ...]]:
    """What is swept: the same on every machine that is given this request, and the plan once it is made.

    Raises:
        UserError: the target or the plan cannot be used.
    """
    options = TargetOptions(
        parse_widths(request.width), parse_set(request.set), parse_inputs(request.input), request.optimizer
    )
    target = resolve(request.target, options)
    widths = parse_width_list(request.widths) if request.widths is not None else prepare.default_widths(target)
    schedule = request.schedule or ("own" if target.scheduler is not None else "constant")
    settings = Settings(
        request.steps, request.batch_size, request.data, schedule, request.warmup, request.dtype, request.device
    )
    variants = [] if request.only_plan else [prepare.variant(prepare.ORIGINAL, target, settings)]
    if request.plan is not None or request.convert:
        plan = made or (
            load_plan(request.plan)
            if request.plan is not None
            else prepare.converted(target, widths, request.base_width)
        )
        variants.append(prepare.variant(prepare.CONVERTED, target, settings, plan))
    if request.compare is not None:
        other = prepare.variant(prepare.OTHER, resolve(request.compare, options), settings)
        variants = [replace(variants[0], title=request.target or target.label), replace(other, title=request.compare)]
    return target, variants, settings, widths


def _together(request: Request) -> Callable[[Variant, int], int]:
    if request.together:
        return lambda variant, width: request.together

    @lru_cache(maxsize=256)
    def by_name(name: str, width: int) -> int:
        return automatic(known[name], width, request.device)

    known: dict[str, Variant] = {}

    def together(variant: Variant, width: int) -> int:
        known[variant.name] = variant
        return by_name(variant.name, width)

    return together
