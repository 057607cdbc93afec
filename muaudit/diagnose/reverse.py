"""The large run's trouble in a small model: reverse µTransfer (TP5, arXiv 2203.03466, App. I).

In µP every width trains alike. So the model as it is at the large width, taken as the base of a plan, is carried down:
each tensor's init, learning rate, eps and decay at the small width are those of the large one, by the table.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from ..optimizers.several import parts
from ..plan.plan import Plan
from ..training.loop import Work


def carried_down(plan: Plan, large: torch.optim.Optimizer, small: Work) -> tuple[nn.Module, torch.optim.Optimizer]:
    """The small model with the large one's trouble, and its optimizer.

    plan: with the large width as its base, at the small one. large: the optimizer of the large model.
    """
    plan = replace(plan, made_for=None, entries=tuple(replace(each, start=None) for each in plan.entries))
    model, optimizer = small.built(small.settings.seed)
    plan.apply_(model)
    for own, theirs in zip(parts(optimizer), parts(large), strict=True):
        groups = [
            {**group, **{key: other[key] for key in ("lr", "eps", "weight_decay", "initial_lr") if key in other}}
            for group, other in zip(own.param_groups, theirs.param_groups, strict=True)
        ]
        made = plan.refine(model, groups)
        own.param_groups[:] = [{key: value for key, value in each.items() if key != "lr_scale"} for each in made]
    return model, optimizer
