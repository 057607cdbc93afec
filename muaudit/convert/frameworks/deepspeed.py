"""DeepSpeed: an optimizer of the plan's groups, and a JSON without the sections that write one rate into all."""

from __future__ import annotations

import json
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

_JSON = {
    "train_micro_batch_size_per_gpu": 1,
    "gradient_accumulation_steps": 1,
    "zero_optimization": {"stage": 1},
    "zero_allow_untested_optimizer": True,
}
"""The least that DeepSpeed starts with. No "optimizer", no "scheduler"."""


def _files(plan: Plan, rules: Sequence[FrameworkRule]) -> Mapping[str, str]:
    top, eps = "\n".join(header(plan)), eps_of(plan)
    argument, passed = ("", "") if eps is None else (f", eps={eps!r}", ", eps=eps")
    default = "" if eps is None else ", eps=eps"
    text = f'''"""{top}

    engine, optimizer, _, scheduler = deepspeed.initialize(
        model=model, optimizer=optimizer(model, LR, WD), lr_scheduler=schedule, config="deepspeed_config.json"
    )

schedule: a function that makes a scheduler of an optimizer, and multiplies (LambdaLR). A "scheduler" in the JSON writes
one rate into all groups (WarmupDecayLR, OneCycle, LRRangeTest; WarmupLR with a warmup_max_lr).
"""

import re

import torch

{table(rules, "pattern")}

{starts(plan)}


{groups_function(plan)}

def optimizer(model, lr, weight_decay=0.0{argument}, **kwargs):
    """Of the model before it is wrapped, with hyperparameters as tuned at the base width."""
    kwargs = {settings_dict(plan)} | kwargs
    return torch.optim.{torch_class(plan)}(param_groups(model, lr, weight_decay{passed}), lr=lr{default}, **kwargs)
'''
    return {"deepspeed_groups.py": text, "deepspeed_config.json": json.dumps(_JSON, indent=2) + "\n"}


DEEPSPEED = Framework(searched, regex, False, _files)
