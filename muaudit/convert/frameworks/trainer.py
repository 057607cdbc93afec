"""Hugging Face's Trainer: `optimizer_cls_and_kwargs`, whose "params" are the groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...plan.plan import Plan
from .framework import (
    Framework,
    FrameworkRule,
    eps_of,
    groups_function,
    header,
    regex,
    searched,
    settings_dict,
    starts,
    table,
    torch_class,
)


def _files(plan: Plan, rules: Sequence[FrameworkRule]) -> Mapping[str, str]:
    top, eps = "\n".join(header(plan)), eps_of(plan)
    argument, passed = ("", "") if eps is None else (f", eps={eps!r}", ", eps=eps")
    default = "" if eps is None else ', "eps": eps'
    text = f'''"""{top}

TrainingArguments' learning_rate, weight_decay and adam_* play no part: the groups have their own.
"""

import re

import torch

{table(rules, "pattern")}

{starts(plan)}


{groups_function(plan)}

def optimizer_cls_and_kwargs(model, lr, weight_decay=0.0{argument}, **kwargs):
    """For Trainer(model, args, optimizer_cls_and_kwargs=...), hyperparameters as tuned at the base width.

    For one Trainer alone: it takes the groups out of what it is given.
    """
    groups = param_groups(model, lr, weight_decay{passed})
    defaults = {{"lr": lr{default}, **{settings_dict(plan)}}}
    return torch.optim.{torch_class(plan)}, {{"params": groups, **defaults, **kwargs}}
'''
    return {"trainer_groups.py": text}


TRAINER = Framework(searched, regex, False, _files)
