"""What a model says about how far its hyperparameters transfer: what is carried along with them, and its norms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from torch import nn

from .. import analysis
from ..analysis.derive import Scaling
from ..errors import UserError
from ..parametrizations.caveats import Carried, caveats
from ..plan.made_for import own_settings
from ..plan.plan import Plan
from ..program.stack import post_norm
from ..targets.probe import Target
from ..targets.regularizers import dropout_of, label_smoothing_of, mostly_frozen
from ..trace.blocks import containers


@dataclass(frozen=True)
class Reservations:
    """settings: regularization that the model and its optimizer have of their own accord. frozen: whether most weights
    are not trained. post_norm: whether its stream is normalised after every sum; None where that was not looked at."""

    settings: Mapping[str, float]
    frozen: bool
    post_norm: bool | None = None


def reservations(target: Target, model: nn.Module, scaling: Scaling | None = None) -> Reservations:
    """From a model of the target, and from its analysis over width where there is one."""
    decay = own_settings(target.optimizer(model, target.sizes(0)), target.filled).get("weight_decay", 0.0)
    held = {"weight_decay": decay, "dropout": dropout_of(model), "label_smoothing": label_smoothing_of(model)}
    settings = {name: float(value) for name, value in held.items() if value}
    norms = None if scaling is None else _post_norm(model, scaling)
    return Reservations(settings, mostly_frozen(model), norms)


def is_post_norm(target: Target) -> bool | None:
    """Whether a target's stream is normalised after every sum, by an analysis of its own; None where there is none."""
    try:
        found = analysis.analyse(target)
    except UserError:
        return None
    return _post_norm(found.models[0], found.scaling)


def with_caveats(plan: Plan, known: Reservations, *, loaded: bool = False) -> Plan:
    """The plan with what is to be said of its transfer. loaded: whether it is for weights that are trained already."""
    proxy: dict[str, float] = {} if plan.depth_name and plan.m == 1.0 else {"width": plan.base_width}
    target: dict[str, float] = {"width": plan.width}
    if plan.depth_name:
        proxy, target = {**proxy, "depth": plan.base_depth}, {**target, "depth": plan.depth}
    tuned = {name: value for name, value in plan.tuned if value}
    said = caveats(
        Carried({**known.settings, **tuned}, proxy, target, ("depth",), known.post_norm, known.frozen, loaded)
    )
    return replace(plan, caveats=tuple(said.items()))


def renewed(plan: Plan, target: Target, *, loaded: bool = False) -> Plan:
    """The plan with its caveats told again: after a search has put values into it, or for weights that are trained."""
    known = reservations(target, target.build(target.sizes(0), 0))
    return with_caveats(plan, replace(known, post_norm="post-layernorm" in dict(plan.caveats)), loaded=loaded)


def _post_norm(model: nn.Module, scaling: Scaling) -> bool:
    return post_norm(scaling.program, containers([name for name, _ in model.named_parameters()]))
