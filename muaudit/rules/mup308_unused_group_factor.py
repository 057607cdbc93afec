"""A factor in the param groups that nothing which was seen multiplies by.

## What it does
Where param groups hold a factor beside their learning rate (`lr_scale`, `lr_mult`), runs the optimizer's step
on a copy with another value. When the step does not follow it, `lr` does not hold it already, and no
scheduler(optimizer) is given, the learning rates are judged as if the training loop multiplied by it, and
this warning says so. So it is with a number by any other name, where the learning rates are wrong as they stand and all
of them right once they are multiplied, or divided, by it. A scheduler that was stepped and leaves it out makes it an
error.

## Why is this bad
torch's optimizers and schedulers never read such a key. Loops that set `lr` for all groups lose it easily, and
then every group trains with one learning rate although the groups look right.

## Example
    torch.optim.AdamW([{"params": hidden, "lr_scale": 1 / m}, {"params": rest, "lr_scale": 1.0}], lr=lr)

## Fix
    torch.optim.AdamW([{"params": hidden, "lr": lr / m}, {"params": rest, "lr": lr}])

or give the schedule that multiplies by it: def scheduler(optimizer) in the file that is audited, then it is
stepped and its rates are read.

## Evidence
None is needed: the step on a copy is the same with another value of the key.

## When it is fine
When the training loop multiplies by it at every step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from muaudit.findings.power import power
from muaudit.rules.rule import Rule, any_role

if TYPE_CHECKING:
    from muaudit.findings.discrepancy import Discrepancy
    from muaudit.findings.model import Severity


class UnusedGroupFactor(Rule):
    code = "MUP308"
    name = "unused-group-factor"
    severity = "warning"
    summary = "a factor that param groups hold beside their learning rate must be multiplied by"
    keys = any_role("group_factor")

    def severity_of(self, d: Discrepancy) -> Severity:
        """What a scheduler leaves out is left out; without one, the loop may multiply."""
        return "error" if d.values else self.severity

    def message(self, d: Discrepancy) -> str:
        whose = d.pattern or f"{len(d.tensors)} tensors"
        rates = f"learning rate of {whose} ∝ {power(d.found)}, judged as {power(d.expected)}"
        return f"neither {d.optimizer} nor a scheduler multiplies by the groups' {d.detail}: {rates}"

    def fix(self, d: Discrepancy) -> str:
        return f"put {d.detail} into each group's lr, or give scheduler(optimizer) that multiplies by it"

    def consequence(self, d: Discrepancy) -> str:
        return d.consequence or "unless the training loop multiplies by it, all groups train with one learning rate"
