"""A plan as the rules of training frameworks: patterns of names with what their groups get, tried on the real names.

Each framework matches names in a way of its own. What is written was matched that way against all parameters of the
model before: every rule matches something, and every parameter is matched by the rule that is meant for it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Any

import yaml

from ..errors import UserError
from ..optimizers import member
from ..plan.groups import own_eps
from ..plan.plan import Plan
from ..plan.scales import Entry
from ..suggest import nearest
from .optimizer_lines import trained_at, tuned_at

_WRAPPED = r"(?:(?:_orig_mod|_checkpoint_wrapped_module)\.)*"
"""What torch.compile and activation checkpointing put between the parts of a name."""


@dataclass(frozen=True)
class FrameworkRule:
    """What parameters by a framework's pattern get: factors on the tuned lr, weight decay and eps."""

    pattern: str
    lr: float
    weight_decay: float
    eps: float


@dataclass(frozen=True)
class Framework:
    """file: what is written. matches: whether a rule's pattern is found in a name, as the framework does it.

    pattern: an entry's names as the framework's pattern. first: whether the first rule that matches counts; otherwise
    one alone may match. text: of the file.
    """

    file: str
    matches: Callable[[str, str], bool]
    pattern: Callable[[str], str]
    first: bool
    text: Callable[[Plan, Sequence[FrameworkRule]], str]


def emitted(plan: Plan, name: str, names: Sequence[str]) -> tuple[str, str]:
    """The file for a framework, and its text. names: of all parameters of the model.

    Raises:
        UserError: there is no such framework, or its rules cannot say what the plan does.
    """
    check_framework(name)
    if name == "json":
        return "groups.json", _json(plan, names)
    if plan.optimizers:
        raise UserError(
            f"--emit {name}: this plan is for several optimizers, {plan.optimizer}", "--emit json lists all"
        )
    made = FRAMEWORKS[name]
    rules = [_rule(plan, entry, made.pattern(entry.pattern)) for entry in _exact_first(plan)]
    check_rules(plan, made, rules, names)
    return made.file, made.text(plan, rules)


def check_framework(name: str) -> None:
    """Raise UserError for a framework that is none of those known."""
    if name != "json" and name not in FRAMEWORKS:
        raise UserError(f"no framework {name!r}", nearest(name, ("json", *FRAMEWORKS), "--emit takes"))


def check_rules(plan: Plan, framework: Framework, rules: Sequence[FrameworkRule], names: Sequence[str]) -> None:
    """Raise UserError unless every rule matches, and every name is matched by the rule that the plan means."""
    wrong: list[str] = []
    used: set[str] = set()
    for name in names:
        entry = plan.entry([name])
        found = [rule for rule in rules if framework.matches(rule.pattern, name)]
        used |= {rule.pattern for rule in (found[:1] if framework.first else found)}
        if entry is None or not found:
            wrong.append(f"{name} is matched by no rule")
        elif len(found) > 1 and not framework.first:
            wrong.append(f"{name} is matched by {' and by '.join(rule.pattern for rule in found)}")
        elif found[0] != _rule(plan, entry, found[0].pattern):
            wrong.append(f"{name} is matched by {found[0].pattern} before its own rule")
    wrong += [f"{rule.pattern} matches nothing" for rule in rules if rule.pattern not in used]
    if wrong:
        shown = "\n".join(f"  {row}" for row in wrong[:8]) + (
            f"\n  and {len(wrong) - 8} more" if len(wrong) > 8 else ""
        )
        raise UserError(f"these rules do not say what the plan does:\n{shown}", "--emit json has the exact names")


def _exact_first(plan: Plan) -> list[Entry]:
    """A plan's exact names beat its patterns, so that they come first."""
    return sorted(plan.entries, key=lambda entry: "*" in entry.pattern)


def _rule(plan: Plan, entry: Entry, pattern: str) -> FrameworkRule:
    lr, decay, eps = (float(f"{scale:.12g}") for scale in plan.scales_of(entry)[1:])
    return FrameworkRule(pattern, lr, decay if entry.decays else 0.0, eps)


def _header(plan: Plan) -> list[str]:
    """What the reader of any file has to know."""
    lines = [
        f"{plan.headline}. Hyperparameters tuned at {tuned_at(plan)} train at {trained_at(plan)}.",
        "Scale the initialization too: plan.apply_(model) on fresh weights, or the figures of --emit json.",
    ]
    if plan.hooks:
        lines.append("This plan has forward multipliers: plan.install_hooks(model) where weights are loaded.")
    return lines


# -- any other: exact names --------------------------------------------------------------------------------------------
def _json(plan: Plan, names: Sequence[str]) -> str:
    """Exact names with their factors, the measured rms at the width before and after, and the multipliers."""
    found = {name: plan.entry([name]) for name in names}
    lost = [name for name, entry in found.items() if entry is None]
    if lost:
        raise UserError(f"the plan has no entry for {lost[0]}" + (f" and {len(lost) - 1} more" if lost[1:] else ""))
    document = {
        "schema": "muaudit.groups/1",
        "target": plan.target, "width_name": plan.width_name, "base_width": plan.base_width, "width": plan.width,
        **({"depth_name": plan.depth_name, "base_depth": plan.base_depth, "depth": plan.depth}
           if plan.depth_name else {}),
        "optimizer": plan.optimizer,
        "parameters": {name: _parameter(plan, entry) for name, entry in found.items() if entry is not None},
        "multipliers": [
            {"module": hook.module, "on": hook.on, "scale": plan.multiplier(hook)} for hook in plan.hooks
        ],
    }  # fmt: skip
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _parameter(plan: Plan, entry: Entry) -> dict[str, Any]:
    rule = _rule(plan, entry, "")
    data: dict[str, Any] = {"init": plan.scales_of(entry)[0], "lr": rule.lr, "weight_decay": rule.weight_decay,
                            "eps": rule.eps}  # fmt: skip
    if entry.start is not None:
        before = entry.start.rms * float(plan.m**entry.start.exponent)
        data |= {"rms_before": before, "rms": before * plan.scales_of(entry)[0]}
    return data | ({"optimizer": entry.optimizer} if entry.optimizer else {})


# -- torchtitan --------------------------------------------------------------------------------------------------------
def _regex(pattern: str) -> str:
    """Anchored, with wrappers allowed between the parts of a name."""
    parts = [r"\d+".join(re.escape(piece) for piece in part.split("*")) for part in pattern.split(".")]
    return "^" + _WRAPPED + rf"\.{_WRAPPED}".join(parts) + "$"


def _searched(pattern: str, name: str) -> bool:
    return re.search(pattern, name) is not None


def _settings(plan: Plan) -> dict[str, Any]:
    own = plan.made_for.settings if plan.made_for is not None else {}
    return {name: value for name, value in own.items() if name not in ("eps", "weight_decay")}


def _titan(plan: Plan, rules: Sequence[FrameworkRule]) -> str:
    rows = "\n".join(f"    ({rule.pattern!r}, {rule.lr!r}, {rule.weight_decay!r}, {rule.eps!r})," for rule in rules)
    header = "\n".join(_header(plan))
    settings = "".join(f", {name}={value!r}" for name, value in _settings(plan).items())
    return f'''"""{header}

The first pattern that is found in a name counts. There is no catch-all: torchtitan refuses patterns that match nothing,
and a parameter that none matches, so that a renamed layer is told.
"""

from torchtitan.components.optimizer import OptimizersContainer, ParamGroupConfig

# pattern, and the factors on the tuned lr, weight decay and eps
RULES = [
{rows}
]


def optimizer_config(lr, weight_decay, eps={own_eps(plan, plan.optimizer)!r}, **kwargs):
    """The optimizer's configuration, for hyperparameters as tuned at the base width."""
    kwargs = dict({settings.removeprefix(", ")}) | kwargs
    groups = [
        ParamGroupConfig(
            pattern=pattern,
            optimizer_name={member(plan.optimizer).torch!r},
            optimizer_kwargs={{
                "lr": lr * by_lr, "weight_decay": weight_decay * by_decay, "eps": eps * by_eps, **kwargs
            }},
        )
        for pattern, by_lr, by_decay, by_eps in RULES
    ]
    return OptimizersContainer.Config(param_groups=groups)
'''


# -- OLMo-core ---------------------------------------------------------------------------------------------------------
def _olmo(plan: Plan, rules: Sequence[FrameworkRule]) -> str:
    rows = "\n".join(f"    ({rule.pattern!r}, {rule.lr!r}, {rule.weight_decay!r}, {rule.eps!r})," for rule in rules)
    header = "\n".join(_header(plan))
    return f'''"""{header}

Globs as fnmatch has them; the first that matches counts. OLMo-core puts what none matches into a group with the tuned
values: keep the names.
"""

from olmo_core.optim import OptimGroupOverride

# glob, and the factors on the tuned lr, weight decay and eps
RULES = [
{rows}
]


def group_overrides(lr, weight_decay, eps={own_eps(plan, plan.optimizer)!r}):
    """For OptimConfig(group_overrides=...), with hyperparameters as tuned at the base width."""
    return [
        OptimGroupOverride(
            params=[glob], opts={{"lr": lr * by_lr, "weight_decay": weight_decay * by_decay, "eps": eps * by_eps}}
        )
        for glob, by_lr, by_decay, by_eps in RULES
    ]
'''


# -- NeMo AutoModel ----------------------------------------------------------------------------------------------------
def _automodel(plan: Plan, rules: Sequence[FrameworkRule]) -> str:
    notes = [*_header(plan)]
    if any(rule.eps != 1.0 for rule in rules):
        notes.append("eps is one number there: where gradients get near it, the plan's factors on it are missing.")
    overrides = [{"pattern": rule.pattern, "lr_mult": rule.lr, "wd_mult": rule.weight_decay} for rule in rules]
    data = {"optimizer": {"param_group_overrides": overrides}}
    return "".join(f"# {note}\n" for note in notes) + yaml.safe_dump(data, sort_keys=False, width=200)


FRAMEWORKS: Mapping[str, Framework] = {
    "torchtitan": Framework("torchtitan_groups.py", _searched, _regex, True, _titan),
    "olmo-core": Framework("olmo_core_groups.py", lambda pattern, name: fnmatch(name, pattern), str, True, _olmo),
    "automodel": Framework("automodel_groups.yaml", _searched, _regex, False, _automodel),
}
"""By the names that `--emit` takes, beside json."""
