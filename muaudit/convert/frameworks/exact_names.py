"""For any other framework: a JSON of exact names with all that the plan says of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ...errors import UserError
from ...plan.plan import Plan
from ...plan.scales import Entry
from .framework import rule_of


def exact_names(plan: Plan, names: Sequence[str]) -> Mapping[str, str]:
    """Exact names with their factors, the measured rms at the width before and after, and the multipliers.

    Raises:
        UserError: the plan has no entry for a name.
    """
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
    return {"groups.json": json.dumps(document, indent=2, ensure_ascii=False) + "\n"}


def _parameter(plan: Plan, entry: Entry) -> dict[str, Any]:
    rule = rule_of(plan, entry, "")
    data: dict[str, Any] = {"init": plan.scales_of(entry)[0], "lr": rule.lr, "weight_decay": rule.weight_decay,
                            "eps": rule.eps}  # fmt: skip
    if entry.start is not None:
        before = plan.rms_before(entry.start)
        data |= {"rms_before": before, "rms": before * plan.scales_of(entry)[0]}
    return data | ({"optimizer": entry.optimizer} if entry.optimizer else {})
