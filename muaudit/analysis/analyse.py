"""The one way from a target to what is known of it: record → align → lower → solve → judge → predict.

Check, convert and the probe of unequal growth take it; nothing is trained.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from ..errors import UserError
from ..findings.discrepancy import Discrepancy
from ..optimizers.trained import Trained, trained_by
from ..solve.predict import Prediction, predict
from ..targets.probe import Target
from ..targets.schedulers import place, walk
from ..trace.align import Aligned
from ..trace.definitions import Place, optimizers_made
from ..trace.kernels import probe_kernels
from ..trace.recorder import Recording
from ..trace.redraw import Redraws
from .axis import Axis, Third
from .comparable import comparable
from .consequences import with_consequences
from .derive import Scaling, derive
from .held_twice import held_twice
from .probes import Probes
from .removed import gradients_without_zeros
from .schedule import assumed_factors, scheduled
from .third_rates import with_third
from .width import WIDTH

SEED = 0
DRAWS = 1000  # seeds from here on are for further initializations


@dataclass(frozen=True)
class Analysis:
    """Recordings, program, solution and prediction of one target, at two probes.

    target: the one that was asked for, at the two probes that were compared. ratios: by how much each of its sizes
    grows from one to the other. defined: the user's line that makes a parameter, by its name. of_schedule: what the
    scheduler lost of the learning rates. optimizer_made: the user's line that makes the optimizer.
    """

    target: Target
    axis: Axis
    models: tuple[nn.Module, nn.Module]
    recordings: tuple[Recording, Recording]
    ratios: tuple[float, ...]
    scaling: Scaling
    prediction: Prediction
    defined: Mapping[str, Place]
    of_schedule: tuple[Discrepancy, ...] = ()
    optimizer_made: Place = (None, None)


def analyse(
    target: Target,
    axis: Axis = WIDTH,
    *,
    readout_bound: float = -1.0,
    seed: int = SEED,
    probes: Probes | None = None,
) -> Analysis:
    """What is known of the target between two probes along an axis.

    readout_bound: the exponent that the init of a readout may have at most. probes: where some are recorded already.

    Raises:
        UserError: the user's code raised.
    """
    probes = probes if probes is not None else Probes(target, seed, axis=axis)
    with probe_kernels():
        chosen = comparable(target, probes, axis)
        target = chosen.target
        narrow, wide = (probes[number] for number in chosen.pair)
        models, recordings = (narrow.model, wide.model), (narrow.recording, wide.recording)
        ratios = axis.ratios(target)
        with optimizers_made() as seen:
            made = target.optimizer(models[0], narrow.sizes), target.optimizer(models[1], wide.sizes)
        _note_frozen(recordings[0], models[0])
        alike = models[0], axis.alike(*models)
        trained = trained_by(made, alike, ratios)
        of_schedule: list[Discrepancy] = []
        if target.scheduler is None:
            of_schedule = assumed_factors(trained, *place(target.optimizer, "lr_"))
        else:
            trained, of_schedule = scheduled(walk(target.scheduler, made), made, alike, ratios)
        further = Probes(target, seed, axis=axis)
        of_schedule += held_twice(made[0], models[0], *place(target.optimizer, "Optimizer"))
        trained = with_third(trained, lambda: _rates_beyond(further, made[1], alike))

        def aligned(third: Third | None) -> Aligned:
            return axis.align(recordings, target, chosen.alone, third)

        def built(probe: int, seed: int) -> nn.Module:
            model = target.build(axis.sizes(target, probe), seed)
            return axis.alike(models[0], model) if probe else model

        draws = Redraws(built, seed + DRAWS, {probe: (model, seed) for probe, model in enumerate(alike)})
        scaling = derive(
            aligned,
            axis.known,
            axis.read,
            axis.judged,
            alike,
            draws,
            trained,
            readout_bound,
            lambda: _third(further),
            lambda: gradients_without_zeros(target, axis, seed),
        )
    prediction = predict(scaling.program, scaling.inits, scaling.trained)
    scaling = replace(scaling, discrepancies=tuple(_of_groups(d, target) for d in scaling.discrepancies))
    found = with_consequences(scaling.discrepancies, scaling.judged, scaling.program, prediction)
    if scaling.apart is not None and any(d.rows for d in found):
        of_rows = predict(scaling.apart.program, scaling.inits, scaling.trained)
        found = with_consequences(found, scaling.of_rows, scaling.apart.program, of_rows)
    scaling = replace(scaling, discrepancies=tuple(found))
    return Analysis(
        target, axis, models, recordings, ratios, scaling, prediction, probes.definitions.of(narrow.model),
        tuple(of_schedule), seen.place,
    )  # fmt: skip


def _note_frozen(recording: Recording, model: nn.Module) -> None:
    """What whoever made the optimizer froze is frozen, though it was recorded before."""
    frozen = {name for name, p in model.named_parameters(remove_duplicate=False) if not p.requires_grad}
    for name, node in recording.params.items():
        if name in frozen:
            node.meta["frozen"] = True


def _of_groups(d: Discrepancy, target: Target) -> Discrepancy:
    """A factor in the param groups: where these are made, and whether a scheduler was seen that leaves it out."""
    if d.aspect != "group_factor":
        return d
    file, line = place(target.optimizer, d.detail.removeprefix("1/"))
    return replace(d, file=file, line=line, values=(1.0,) if target.scheduler is not None else ())


def _rates_beyond(probes: Probes, optimizer: Any, models: tuple[nn.Module, nn.Module]) -> dict[str, Trained]:
    """How parameters are trained between the second probe and a third.

    Raises:
        UserError: there is none.
    """
    target, axis = probes.target, probes.axis
    sizes, before, wider = axis.sizes(target, 2), axis.sizes(target, 1), probes.model(2)
    ratios = [sizes[name] / before[name] for name in sizes]
    alike = models[1], axis.alike(models[0], wider)
    return trained_by((optimizer, target.optimizer(wider, sizes)), alike, ratios)


def _third(probes: Probes) -> Third | None:
    """A recording at a third probe, and the log of its size over the second's; None where there is none."""
    try:
        probe = probes[2]
    except UserError:  # what two probes showed stands
        return None
    target, axis = probes.target, probes.axis
    return probe.recording, math.log(axis.size(target, 2) / axis.size(target, 1))
