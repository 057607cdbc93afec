"""What is to be said of how far the values of a sweep, or of a search, transfer (TP5, arXiv 2203.03466, Section 6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from ..convert.reservations import is_post_norm, reservations
from ..parametrizations.caveats import Carried, caveats
from ..plan.made_for import block_counts
from ..targets.probe import Target
from ..training.beforehand import sizes_at
from .trainings import TrainingSettings
from .variant import SweepVariant


def caveats_of(
    variants: Sequence[SweepVariant],
    settings: TrainingSettings,
    swept: Mapping[str, Sequence[float]],
    start: Mapping[str, float],
    to: Mapping[str, float],
) -> list[str]:
    """What is to be said, one text each.

    swept: hyperparameter → its values, but for the learning rate. start, to: what it is along, at the smallest size
    and at the largest one.
    """
    first = variants[0]
    source = first.source or first.target
    model = source.build(source.sizes(0), 0)
    known = reservations(source, model)
    plans = [each.plan for each in variants if each.plan is not None]
    values = {**known.settings, **{name: value for plan in plans for name, value in plan.tuned}}
    values |= {name: max(given, key=lambda value: abs(value - 1.0)) for name, given in swept.items()}
    width = source.axes[0].probes[0]
    proxy = {"width": width, **_depth(source, model), **_batch(first, source), "steps": settings.steps, **start}
    deeper = "depth" in to and to["depth"] != proxy.get("depth")
    ruled = ["depth"] if deeper and plans and all(plan.depth_name for plan in plans) else []
    post_norm = is_post_norm(source) if deeper else None
    return list(caveats(Carried(values, proxy, to, ruled, post_norm, known.frozen)).values())


def _depth(target: Target, model: torch.nn.Module) -> dict[str, float]:
    """How many blocks the model has, where it has an argument for that."""
    counts = block_counts(name for name, _ in model.named_parameters())
    return {"depth": max(counts.values())} if target.depths and counts else {}


def _batch(variant: SweepVariant, target: Target) -> dict[str, float]:
    """Of the data that are trained on: sequences in a batch, and their length where these are tokens."""
    named = variant.task.identity
    found: dict[str, float] = {name: named[key] for name, key in (("batch", "batch"), ("sequence", "length"))
                               if key in named}  # fmt: skip
    if found:
        return found
    inputs = target.inputs(sizes_at(target, target.axes[0].probes[0]))
    tensors = [each for each in (*inputs.args, *inputs.kwargs.values()) if isinstance(each, torch.Tensor)]
    if not tensors or not tensors[0].dim():
        return {}
    tokens = not tensors[0].is_floating_point() and tensors[0].dim() == 2  # (batch, sequence)
    return {"batch": tensors[0].shape[0], **({"sequence": tensors[0].shape[1]} if tokens else {})}
