"""torchtitan: a list of `ParamGroupConfig`, regular expressions that are searched in their order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...plan.plan import Plan
from .framework import (
    Framework,
    FrameworkRule,
    eps_of,
    header,
    regex,
    searched,
    settings_dict,
    starts,
    table,
    torch_class,
)


def _files(plan: Plan, rules: Sequence[FrameworkRule]) -> Mapping[str, str]:
    top = "\n".join(header(plan))
    text = f'''"""{top}

The first pattern that is found in a name counts. There is no catch-all: torchtitan refuses patterns that match nothing,
and a parameter that none matches, so that a renamed layer is told.
"""

from torchtitan.components.optimizer import OptimizersContainer, ParamGroupConfig

{table(rules, "pattern")}

{starts(plan)}


def optimizer_config(lr, weight_decay, eps={eps_of(plan)!r}, implementation="fused", **kwargs):
    """The optimizer's configuration, for hyperparameters as tuned at the base width."""
    kwargs = {settings_dict(plan)} | kwargs
    groups = [
        ParamGroupConfig(
            pattern=pattern,
            optimizer_name={torch_class(plan)!r},
            optimizer_kwargs={{
                "lr": lr * by_lr, "weight_decay": weight_decay * by_decay, "eps": eps * by_eps, **kwargs
            }},
        )
        for pattern, by_lr, by_decay, by_eps in RULES
    ]
    return OptimizersContainer.Config(param_groups=groups, implementation=implementation)
'''
    return {"torchtitan_groups.py": text}


TORCHTITAN = Framework(searched, regex, True, _files)
