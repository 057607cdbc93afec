"""Megatron-Bridge: a provider of the overrides that Megatron-LM takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...plan.plan import Plan
from .framework import Framework, FrameworkRule, header, starts, table
from .megatron import MEGATRON, flags, overrides


def _files(plan: Plan, rules: Sequence[FrameworkRule]) -> Mapping[str, str]:
    own = [
        line.replace("--use-mup --mup-base-hidden-size ", "use_mup=True, mup_base_hidden_size=")
        for line in flags(plan, rules)
    ]
    top = "\n".join([*header(plan), "", *own])
    text = f'''"""{top}
"""

from dataclasses import dataclass
from fnmatch import fnmatch

from megatron.bridge.training.config import OptimizerConfigOverrideProvider
from megatron.core.optimizer import ParamKey
from megatron.core.optimizer_param_scheduler import ParamGroupOverride

{table(rules, "glob")}

{starts(plan)}


{overrides(plan)}

@dataclass
class PlanOverrides(OptimizerConfigOverrideProvider):
    """For ConfigContainer(optimizer_config_override_provider=PlanOverrides()).

    whole: whether this process holds the whole model; False with pipeline parallelism.
    """

    whole: bool = True

    def build_config_overrides(self, context):
        """The plan's overrides, after a look at the names: Megatron tells nothing about rules that match nothing."""
        chunks = context.model if isinstance(context.model, list) else [context.model]
        check(chunks, self.whole)
        return config_overrides(context.optimizer_config)
'''
    return {"megatron_bridge_groups.py": text}


MEGATRON_BRIDGE = Framework(MEGATRON.matches, MEGATRON.pattern, MEGATRON.first, _files)
