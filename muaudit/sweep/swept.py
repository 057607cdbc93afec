"""What a request sweeps, worked out alike on the machine that was asked and on every worker."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from ..plan.file import load_plan
from ..plan.plan import Plan
from ..plan.planned import refuse_other_target
from ..targets import TargetOptions, parse_inputs, parse_set, parse_widths, resolve
from ..targets.along_run import along_run
from ..targets.at_depth import along_both, along_depth, at_depths, depths_at
from ..targets.probe import Target
from ..training.run_settings import parse_depth, parse_depth_list, parse_width_list
from . import prepare
from .over import parse_over
from .sweep_request import SweepRequest
from .trainings import TrainingSettings
from .variant import SweepVariant


def variants_of(
    request: SweepRequest, made: Plan | None = None
) -> tuple[Target, list[SweepVariant], TrainingSettings, tuple[int, ...]]:
    """What is swept: the same on every machine that is given this request, and the plan once it is made.

    Raises:
        UserError: the target or the plan cannot be used.
    """
    blocks, depths = parse_depth_list(request.depths)
    held, depth = parse_depth(request.held_depth)
    options = TargetOptions(
        parse_widths(request.width), parse_set(request.set), parse_inputs(request.input), request.optimizer,
        init=request.init, no_init=request.no_init, depths={name: () for name in (blocks, held) if name},
    )  # fmt: skip
    target = resolve(request.target, options)
    widths = parse_width_list(request.widths) if request.widths is not None else ()
    over, values = parse_over(request.over)
    along = _seen(widths, depths) if depth is None else partial(_held, depth=depth)
    along = partial(along_run, name=over, values=values) if over else along
    seen = along(target)
    sizes = widths or depths or values or prepare.default_widths(target)
    schedules = (request.schedule or ("own" if target.scheduler is not None else "constant")).split(",")
    settings = TrainingSettings(
        request.steps, request.batch_size, request.data, schedules[0], request.warmup, request.dtype, request.device,
        held_out=not request.training_loss, clip=request.clip,
    )  # fmt: skip
    variants = [] if request.only_plan else [prepare.variant(prepare.ORIGINAL, target, settings, None, along)]
    if request.plan is not None or request.convert:
        plan = made or (
            load_plan(request.plan)
            if request.plan is not None
            else prepare.converted(
                target, widths or (() if depths else sizes), depths, request.base_width, request.base_depth
            )
        )
        refuse_other_target(target, plan)  # here: in a run, the optimizer's settings are what is swept
        variants.append(prepare.variant(prepare.CONVERTED, target, settings, plan, along))
    if request.compare is not None:
        other = prepare.variant(prepare.OTHER, resolve(request.compare, options), settings, None, along)
        variants = [replace(variants[0], title=request.target or target.label), replace(other, title=request.compare)]
    if len(schedules) > 1:
        variants = [
            replace(each.called(each.name, schedule), title=f"{each.title}, {schedule}")
            for each in variants for schedule in schedules
        ]  # fmt: skip
    return seen, variants, settings, sizes


def _held(target: Target, depth: int) -> Target:
    """The target with so many blocks at every width. Raises UserError for one that has no number of blocks."""
    along_depth(target)
    return at_depths(target, depths_at(target, depth))


def _seen(widths: tuple[int, ...], depths: tuple[int, ...]) -> Callable[[Target], Target]:
    """How targets are seen: by widths, by depths, or by widths with a depth for each."""
    if not depths:
        return lambda target: target
    return partial(along_both, depths=dict(zip(widths, depths, strict=True))) if widths else along_depth
