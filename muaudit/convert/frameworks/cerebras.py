"""Cerebras Model Zoo: LRAdjustmentGroup, globs with a factor on the learning rate.

A parameter belongs to a group where the name of any parameter that a glob of it matches stands inside of its own name;
two groups with different factors would both take it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ...plan.plan import Plan
from .framework import Framework, FrameworkRule, globbed, header, starts


def _files(plan: Plan, rules: Sequence[FrameworkRule]) -> Mapping[str, str]:
    groups: dict[float, list[str]] = {}
    for rule in rules:
        groups.setdefault(rule.lr, []).append(rule.pattern)
    rows = "\n".join(
        f"        'lr_{number}': LRAdjustmentGroup({globs!r}, scale={lr!r}),"
        for number, (lr, globs) in enumerate(groups.items())
        if lr != 1.0
    )
    listed = f"{{\n{rows}\n    }}" if rows else "{}"
    notes = [*header(plan)]
    if any(rule.eps != 1.0 for rule in rules):
        notes.append("eps is one number there: where gradients get near it, the plan's factors on it are missing.")
    decays = sorted({rule.weight_decay for rule in rules})
    top = "\n".join(notes)
    text = f'''"""{top}

Put these into the model, `self.lr_adjustment_groups = lr_adjustment_groups()`, in place of its own: an
"adjust_learning_rate" in the optimizer's section of the YAML knows their names alone. They are read through a scheduler
that Cerebras wraps; without one the factors do nothing.
"""

from cerebras.modelzoo.common.utils.model.mup_utils import LRAdjustmentGroup

{starts(plan)}


def lr_adjustment_groups(weight_decay):
    """Factors on the learning rate tuned at the base width, by glob; what none matches has the factor 1.

    weight_decay: the optimizer's, which cannot differ there but for norms and biases. Other factors: {decays}.
    """
    if weight_decay and {bool(set(decays) - {1.0})}:
        raise ValueError("this plan scales weight decay, which Cerebras cannot: train with 0, or make one with another "
                         "muaudit convert --profile")
    return {listed}
'''
    return {"cerebras_groups.py": text}


def _inside(rules: Sequence[FrameworkRule], names: Sequence[str]) -> Iterator[str]:
    """Names that hold another parameter's whole name, and so are taken along with it."""
    for rule in rules:
        taken = [name for name in names if globbed(rule.pattern, name)]
        for name in names:
            if not globbed(rule.pattern, name) and rule.lr != 1.0 and (inner := [t for t in taken if t in name]):
                yield f"{name} holds the name {inner[0]}, and is taken by {rule.pattern}"


CEREBRAS = Framework(globbed, str, False, _files, _inside)
