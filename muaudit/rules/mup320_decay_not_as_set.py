"""Weight decay that the step does not apply as the param group has it.

## What it does
Where an optimizer has a step of its own, runs it on a copy: without a gradient, and with and without the group's
weight decay. A weight decay that changes nothing is one that the step computes and drops, or never reads; a
parameter that loses a share of itself although its group says 0 is decayed by another number.

## Why is this bad
Decay is tuned at the small width together with the learning rate. One that never acts makes that tuning a search
over nothing; one that acts on groups that are meant to be free of it (biases, gains, embeddings) pulls them to
zero.

## Example
    p.mul(1 - group["lr"] * group["weight_decay"])        # the product is dropped
    p.mul_(1 - group["lr"] * self.defaults["weight_decay"])    # the group's own 0 is not read

## Fix
    p.mul_(1 - group["lr"] * group["weight_decay"])

## Evidence
None is needed: steps on a copy.

## When it is fine
When the training loop decays the weights itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from muaudit.findings.power import number
from muaudit.rules.rule import Rule, any_role

if TYPE_CHECKING:
    from muaudit.findings.discrepancy import Discrepancy


class DecayNotAsSet(Rule):
    code = "MUP320"
    name = "decay-not-as-set"
    severity = "warning"
    summary = "weight decay must do to a parameter what its param group says"
    keys = any_role("decay_not_as_set")

    def message(self, d: Discrepancy) -> str:
        whose = d.pattern or f"{len(d.tensors)} tensors"
        value = number(d.values[0]) if d.values else "another number"
        if d.detail == "ignored":
            return f"{whose}: weight_decay = {value} changes no step of {d.optimizer}"
        return f"{whose}: {d.optimizer} decays them by {value} · lr a step, which their group does not say"

    def fix(self, d: Discrepancy) -> str:
        if d.detail == "ignored":
            return 'apply it in place: p.mul_(1 - group["lr"] * group["weight_decay"]), or set it to 0'
        return 'read the weight decay of the group that holds the parameter: group["weight_decay"]'

    def consequence(self, d: Discrepancy) -> str:
        if d.detail == "ignored":
            return d.consequence or "nothing is decayed, whatever the setting"
        return d.consequence or "they are pulled to zero although their group is free of decay"
