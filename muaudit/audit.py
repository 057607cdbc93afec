"""The audit, top to bottom: record two widths → align → derive exponents → judge → report."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from .capture.align import align
from .capture.definitions import definitions
from .capture.kernels import probe_kernels
from .capture.recorder import Recording, record
from .errors import UserError
from .evidence import caution, require_evidence
from .other_paths import other_paths
from .parametrizations.profile_file import get_profile
from .parametrizations.profiles import Profile
from .report.assemble import assemble
from .report.located import located
from .report.model import Report
from .scaling import optimizers
from .scaling.constants import exponent_of
from .scaling.derive import Scaling, derive
from .scaling.predict import predict
from .scaling.result import Discrepancy
from .scaling.schedule import scheduled
from .targets.probe import Target
from .targets.schedulers import walk
from .targets.usercode import seed_torch
from .unequal import unequal_growth

if TYPE_CHECKING:
    from torch import nn

SEED = 0


def audit(
    target: Target, *, profile: Profile | str = "tp5", seed: int = SEED, target_width: int | None = None
) -> Report:
    """Audit a target. Never trains: two recordings, a few initializations, and algebra.

    target_width: the width that Adam's eps is judged at; the model's own, else 64 times the first probe, by default.

    Raises:
        UserError: the user's code raised, or no hidden layer of the model grows with the width.
    """
    school = get_profile(profile) if isinstance(profile, str) else profile
    sizes = target.sizes(0), target.sizes(1)
    with probe_kernels():
        with definitions() as defined:
            narrow = target.build(sizes[0], seed)
        models = narrow, target.build(sizes[1], seed)
        recordings = record_target(target, models[0], sizes[0], seed), record_target(target, models[1], sizes[1], seed)
        ratios = [axis.probes[1] / axis.probes[0] for axis in target.axes]
        made = target.optimizer(models[0], sizes[0]), target.optimizer(models[1], sizes[1])
        trained = optimizers.read(made, models, ratios)
        of_schedule: list[Discrepancy] = []
        if target.scheduler is not None:
            trained, of_schedule = scheduled(walk(target.scheduler, made), made, models, ratios)
        analyse = partial(
            derive, recordings, ratios, models,
            lambda probe, draw: target.build(target.sizes(probe), seed + 1000 + draw),
            trained, school.readout_init_bound,
        )  # fmt: skip
        scaling = analyse()
        if scaling.program.irregular and _looked_at_again(target, scaling, seed):
            scaling = analyse()
    found = require_evidence(target, scaling, defined.of(models[0]))
    with probe_kernels():
        elsewhere = other_paths(target, models, seed, recordings, scaling, ratios, school.readout_init_bound)
        alike = (
            []
            if "MUP506" not in school.advice or elsewhere.discrepancies or of_schedule
            else unequal_growth(target, models[0], recordings[0], seed, scaling, school.readout_init_bound)
        )
    prediction = predict(scaling.program, scaling.inits, scaling.trained)
    more = (*of_schedule, *elsewhere.discrepancies, *alike)
    report = assemble(target, school, scaling, prediction, target_width, more, elsewhere.unanalysed,
                      caution(found, target.axes[0].name))  # fmt: skip
    return located(report, target, defined.of(models[0]))


def _looked_at_again(target: Target, scaling: Scaling, seed: int) -> bool:
    """Record a third width, and note on every constant of the first how it goes on from the second to the third."""
    sizes = target.sizes(2)
    try:
        third = record_target(target, target.build(sizes, seed), sizes, seed)
    except UserError:  # the model cannot be built there: what two probes showed stands
        return False
    main = target.axes[0].name
    step = math.log(sizes[main] / target.sizes(1)[main])
    narrow = scaling.aligned.narrow
    later = align(narrow, third, [sizes[axis.name] / target.sizes(0)[axis.name] for axis in target.axes])
    for op in scaling.aligned.ops:
        node, wider = op.wide, later.by_node[op.narrow].wide
        if node is not None and wider is not None:
            op.narrow.meta["later"] = exponent_of(node.meta.get("rms"), wider.meta.get("rms"), step)
    return True


def record_target(target: Target, model: nn.Module, sizes: Mapping[str, int], seed: int) -> Recording:
    """One recorded forward and backward of `model` on the target's inputs at these sizes."""
    inputs = target.inputs(sizes)
    seed_torch(seed)
    return record(model, inputs.args, inputs.kwargs, lambda output: target.loss(output, inputs))


def check(
    build: Callable[..., nn.Module],
    *,
    batch: Callable[..., Any] | None = None,
    loss: Callable[..., Any] | None = None,
    optimizer: Callable[..., Any] | None = None,
    scheduler: Callable[..., Any] | None = None,
    widths: Sequence[int] | Mapping[str, Sequence[int]] | None = None,
    profile: Profile | str = "tp5",
    seed: int = SEED,
    target_width: int | None = None,
    init: Callable[..., Any] | None = None,
) -> Report:
    """Audit the model that `build(width)` makes; the same report as `muaudit check`.

    batch: `(width) -> tensor | tuple | dict`, the forward's input. loss: `(output, batch) -> scalar`.
    optimizer: `(model) -> torch.optim.Optimizer`. scheduler: `(optimizer)` -> what steps its learning rates.
    widths: two or more ascending sizes. init: `(model)`, initializes the model after it is built.

    Raises:
        UserError: something in these functions does not fit.
    """
    from .targets import from_functions

    target = from_functions(
        build, batch=batch, loss=loss, optimizer=optimizer, scheduler=scheduler, widths=widths, init=init
    )
    return audit(target, profile=profile, seed=seed, target_width=target_width)
