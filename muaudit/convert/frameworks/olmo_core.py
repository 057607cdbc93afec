"""OLMo-core: a list of `OptimGroupOverride`, globs in their order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...plan.plan import Plan
from .framework import Framework, FrameworkRule, eps_of, globbed, header, starts, table


def _files(plan: Plan, rules: Sequence[FrameworkRule]) -> Mapping[str, str]:
    top = "\n".join(header(plan))
    text = f'''"""{top}

Globs as fnmatch has them; the first that matches counts. OLMo-core puts what none matches into a group with the tuned
values, and says nothing: check(model) does.
"""

from fnmatch import fnmatch

from olmo_core.optim import OptimGroupOverride

{table(rules, "glob")}

{starts(plan)}


def group_overrides(lr, weight_decay, eps={eps_of(plan)!r}):
    """For OptimConfig(group_overrides=...), with hyperparameters as tuned at the base width."""
    return [
        OptimGroupOverride(
            params=[glob], opts={{"lr": lr * by_lr, "weight_decay": weight_decay * by_decay, "eps": eps * by_eps}}
        )
        for glob, by_lr, by_decay, by_eps in RULES
    ]


def check(model):
    """Raise ValueError unless each parameter has a glob and each glob a parameter: a renamed layer has none."""
    names = [name for name, _ in model.named_parameters()]
    wrong = [f"{{name}} is matched by none" for name in names if not any(fnmatch(name, rule[0]) for rule in RULES)]
    wrong += [f"{{rule[0]}} matches nothing" for rule in RULES if not any(fnmatch(name, rule[0]) for name in names)]
    if wrong:
        raise ValueError("the plan is for other names:\\n" + "\\n".join(wrong))
'''
    return {"olmo_core_groups.py": text}


OLMO_CORE = Framework(globbed, str, True, _files)
