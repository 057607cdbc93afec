"""Megatron-LM: `config_overrides`, a dict of ParamKey to ParamGroupOverride, and the flags of its own µP beside them.

Every key whose name matches as `fnmatch` does gives its part, and parts that contradict each other are an error there.
Names begin with a `module.` for each wrapper.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...findings.names import named
from ...plan.plan import Plan
from .framework import Framework, FrameworkRule, eps_of, globbed, header, starts, table


def _matches(pattern: str, name: str) -> bool:
    return globbed(pattern, name) or globbed(f"*.{pattern}", name)


def overrides(plan: Plan) -> str:
    """The function that makes the dict, as Python."""
    eps = "" if eps_of(plan) is None else '\n        override["eps"] = config.adam_eps * by_eps'
    return f'''\
def config_overrides(config):
    """For get_megatron_optimizer(config, model, config_overrides=...), in place of the standard ones.

    config: an OptimizerConfig with lr, min_lr and adam_eps as tuned at the base width.
    """
    overrides = {{}}
    for glob, by_lr, by_decay, by_eps in RULES:
        override = ParamGroupOverride(max_lr=config.lr * by_lr, wd_mult=by_decay)
        if config.min_lr is not None:
            override["min_lr"] = config.min_lr * by_lr{eps}
        overrides[ParamKey(name=(glob, f"*.{{glob}}"))] = override
    return overrides


def check(model_chunks, whole=True):
    """Raise ValueError unless each parameter has one rule and, for a whole model, each rule a parameter.

    Megatron tells neither. whole=False: a pipeline stage, of which some rules are for others.
    """
    names = [name for chunk in model_chunks for name, _ in chunk.named_parameters()]
    found = {{
        name: [glob for glob, *_ in RULES if fnmatch(name, glob) or fnmatch(name, f"*.{{glob}}")] for name in names
    }}
    wrong = [f"{{name}}: {{globs}}" for name, globs in found.items() if len(globs) != 1]
    used = {{glob for globs in found.values() for glob in globs}}
    wrong += [f"{{rule[0]}} matches nothing" for rule in RULES if whole and rule[0] not in used]
    if wrong:
        raise ValueError("the plan is for other names:\\n" + "\\n".join(wrong))
'''


def flags(plan: Plan, rules: Sequence[FrameworkRule]) -> list[str]:
    """Both spellings of Megatron's own µP, and where it trains otherwise than the plan says."""
    if plan.depth_name:
        return [
            "Megatron's own flags (--use-mup, --scaling-recipe mup) know of width alone, this plan goes over depth."
        ]
    lines = [
        "For Megatron's own GPT models: its own µP in place of these rules, never beside them, in either spelling",
        f"    --use-mup --mup-base-hidden-size {plan.base_width}",
        f"    --scaling-recipe mup --scaling-base-hidden-size {plan.base_width}",
        "with --mup-base-head-dim or --scaling-base-head-dim, a head's size at the base width. It is not this plan:",
    ]
    others: dict[str, list[str]] = {}
    for rule in rules:
        lr, eps = _own(plan, rule)
        if (lr, eps) != (rule.lr, rule.eps):
            others.setdefault(f"lr × {lr:.6g} for {rule.lr:.6g}, eps × {eps:.6g} for {rule.eps:.6g}", []).append(
                rule.name
            )
    lines += [f"    {named(names)}: {text}" for text, names in others.items()]
    return lines if others else [*lines[:-1], lines[-1].replace(" It is not this plan:", " Its rates are this plan's.")]


def _own(plan: Plan, rule: FrameworkRule) -> tuple[float, float]:
    """Factors on lr and eps by Megatron's own µP: by the number of dims, and whether "embedding" is in the name."""
    vector = rule.ndim <= 1 or "embedding" in rule.name.lower()
    m = float(f"{plan.m:.12g}")
    if eps_of(plan) is None:
        return (m if vector else 1.0), rule.eps
    by = 1.0 if vector else float(f"{1 / plan.m:.12g}")
    return by, by


def _files(plan: Plan, rules: Sequence[FrameworkRule]) -> Mapping[str, str]:
    top = "\n".join([*header(plan), "", *flags(plan, rules)])
    text = f'''"""{top}
"""

from fnmatch import fnmatch

from megatron.core.optimizer import ParamKey
from megatron.core.optimizer_param_scheduler import ParamGroupOverride

{table(rules, "glob")}

{starts(plan)}


{overrides(plan)}'''
    return {"megatron_groups.py": text}


MEGATRON = Framework(_matches, str, False, _files)
