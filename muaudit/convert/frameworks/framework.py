"""What a training framework is to a plan: how it matches names, and the files that say so in its own words."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from ...optimizers import member
from ...plan.groups import own_eps
from ...plan.plan import Plan
from ...plan.scales import Entry
from ..optimizer_lines import trained_at, tuned_at

_WRAPPED = r"(?:(?:module|_orig_mod|_checkpoint_wrapped_module)\.)*"
"""What DDP, torch.compile and activation checkpointing put between the parts of a name."""


@dataclass(frozen=True)
class FrameworkRule:
    """What parameters by a framework's pattern get: factors on the tuned lr, weight decay and eps.

    ndim: of the parameters. name: theirs in the plan, `*` for the number of a block.
    """

    pattern: str
    lr: float
    weight_decay: float
    eps: float
    ndim: int = 0
    name: str = ""

    @property
    def scales(self) -> tuple[float, float, float]:
        """Those of lr, weight decay and eps."""
        return self.lr, self.weight_decay, self.eps


@dataclass(frozen=True)
class Framework:
    """matches: whether a rule's pattern is found in a name, as the framework does it.

    pattern: an entry's names as the framework's pattern. first: whether the first rule that matches counts; otherwise
    one alone may match. files: what is written, by name. wrong: what else is, of these rules on these names.
    """

    matches: Callable[[str, str], bool]
    pattern: Callable[[str], str]
    first: bool
    files: Callable[[Plan, Sequence[FrameworkRule]], Mapping[str, str]]
    wrong: Callable[[Sequence[FrameworkRule], Sequence[str]], Iterable[str]] = lambda rules, names: ()


def rule_of(plan: Plan, entry: Entry, pattern: str) -> FrameworkRule:
    """The rule for an entry's parameters."""
    lr, decay, eps = (float(f"{scale:.12g}") for scale in plan.scales_of(entry)[1:])
    return FrameworkRule(pattern, lr, decay if entry.decays else 0.0, eps, len(entry.shape), entry.pattern)


# -- patterns ----------------------------------------------------------------------------------------------------------
def regex(pattern: str) -> str:
    """Anchored, with wrappers allowed between the parts of a name."""
    parts = [r"\d+".join(re.escape(piece) for piece in part.split("*")) for part in pattern.split(".")]
    return "^" + _WRAPPED + rf"\.{_WRAPPED}".join(parts) + "$"


def searched(pattern: str, name: str) -> bool:
    """As `re.search` finds it."""
    return re.search(pattern, name) is not None


def globbed(pattern: str, name: str) -> bool:
    """As `fnmatch` finds it: `*` crosses dots."""
    return fnmatchcase(name, pattern)


# -- texts -------------------------------------------------------------------------------------------------------------
def header(plan: Plan) -> list[str]:
    """What the reader of any file has to know."""
    lines = [
        f"{plan.headline}. Hyperparameters tuned at {tuned_at(plan)} train at {trained_at(plan)}.",
        "Scale the initialization too: plan.apply_(model) on fresh weights, or by the table of initializations.",
    ]
    if plan.hooks:
        lines.append("This plan has forward multipliers: plan.install_hooks(model) where weights are loaded.")
    return lines


def table(rules: Sequence[FrameworkRule], what: str) -> str:
    """RULES as Python. what: how the framework calls a pattern."""
    rows = "\n".join(f"    ({rule.pattern!r}, {', '.join(map(repr, rule.scales))})," for rule in rules)
    return f"# {what}, and the factors on the tuned lr, weight decay and eps\nRULES = [\n{rows}\n]"


def start_rows(plan: Plan) -> list[tuple[str, float, float | None, float | None]]:
    """Every entry's name with its factor, and the rms of its initialization at this width before and after."""
    rows: list[tuple[str, float, float | None, float | None]] = []
    for entry in plan.entries:
        scale, before = float(f"{plan.scales_of(entry)[0]:.12g}"), None
        if entry.start is not None:
            before = float(f"{plan.rms_before(entry.start):.4g}")
        rows.append((entry.pattern, scale, before, None if before is None else float(f"{before * scale:.4g}")))
    return rows


def starts(plan: Plan) -> str:
    """INIT and MULTIPLIERS as Python."""
    rows = "\n".join(f"    {name!r}: {tuple(row)!r}," for name, *row in start_rows(plan))
    hooks = "\n".join(f"    ({hook.module!r}, {hook.on!r}, {plan.multiplier(hook)!r})," for hook in plan.hooks)
    listed = f"[\n{hooks}\n]" if hooks else "[]"
    return f"""\
# Initializations, * being the number of a block: a factor, and the rms of the entries at this width before and after it
# (measured on the model itself; zeros and ones are constants, else the standard deviation; None: not known).
INIT = {{
{rows}
}}

# Modules whose first input or output is multiplied in the forward pass, and by what.
MULTIPLIERS = {listed}"""


def settings(plan: Plan) -> dict[str, Any]:
    """The optimizer's own settings that the plan does not scale: betas and the like."""
    own = plan.made_for.settings if plan.made_for is not None else {}
    return {name: value for name, value in own.items() if name not in ("eps", "weight_decay")}


def settings_dict(plan: Plan) -> str:
    """Those as Python, `dict(betas=(0.9, 0.95))`."""
    return "dict(" + ", ".join(f"{name}={value!r}" for name, value in settings(plan).items()) + ")"


def eps_of(plan: Plan) -> float | None:
    """The eps to scale; None for an optimizer without one."""
    return own_eps(plan, plan.optimizer)


def torch_class(plan: Plan) -> str:
    """The optimizer's class in torch.optim."""
    return member(plan.optimizer).torch


def groups_function(plan: Plan) -> str:
    """`param_groups` as Python, from RULES of regular expressions: every parameter once, or an error."""
    eps = eps_of(plan)
    argument, entry = ("", "") if eps is None else (f", eps={eps!r}", '"eps": eps * by_eps, ')
    return f'''\
def param_groups(model, lr, weight_decay=0.0{argument}):
    """All parameters that train, by equal factors; hyperparameters as tuned at the base width."""
    groups, used = {{}}, set()
    for name, parameter in model.named_parameters():
        found = [rule for rule in RULES if re.search(rule[0], name)]
        if len(found) != 1:
            raise ValueError(f"{{name}} is matched by {{len(found)}} rules, expected one: the plan is for other names")
        used.add(found[0][0])
        if parameter.requires_grad:
            groups.setdefault(found[0][1:], []).append(parameter)
    unused = [rule[0] for rule in RULES if rule[0] not in used]
    if unused:
        raise ValueError(f"{{unused[0]}} matches nothing: the plan is for other names")
    return [
        {{"params": found, "lr": lr * by_lr, "weight_decay": weight_decay * by_decay, {entry}"lr_scale": by_lr}}
        for (by_lr, by_decay, by_eps), found in groups.items()
    ]
'''
