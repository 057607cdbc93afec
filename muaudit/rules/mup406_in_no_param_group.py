"""A parameter that gets a gradient, and that no param group of the optimizer holds.

## What it does
Compares the parameters that the recorded backward gave a gradient with those that the param groups hold,
all optimizers together. What is frozen (`requires_grad_(False)`) is left out.

## Why is this bad
No step ever changes such a parameter: it stays as it was initialized. Groups built from patterns of names
lose what matches none of them, the readout and the embedding first of all, and a loss that still goes down
does not tell. A readout that starts at zero and is never trained leaves the model without an output.

## Example
    hidden = [p for n, p in model.named_parameters() if "blocks" in n]
    torch.optim.AdamW([{"params": hidden, "lr": lr / m}])     # embedding and readout are in no group

## Fix
    rest = [p for n, p in model.named_parameters() if "blocks" not in n]
    torch.optim.AdamW([{"params": hidden, "lr": lr / m}, {"params": rest, "lr": lr}])

## Evidence
None is needed: the optimizer does not know the parameter.

## When it is fine
When it is not meant to be trained: then say so with `requires_grad_(False)`, which also saves its gradient.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from muaudit.findings.model import Severity
from muaudit.rules.rule import Rule, any_role
from muaudit.rules.words import subject

if TYPE_CHECKING:
    from muaudit.findings.discrepancy import Discrepancy


class InNoParamGroup(Rule):
    code = "MUP406"
    name = "in-no-param-group"
    severity = "warning"
    summary = "a parameter that gets a gradient should be in a param group of the optimizer"
    keys = any_role("no_group")

    def severity_of(self, d: Discrepancy) -> Severity:
        """Without its embedding or its readout a model is not trained at all."""
        return "error" if d.role in ("input", "output") else self.severity

    def message(self, d: Discrepancy) -> str:
        return f"{subject(d)}: in no param group of the optimizer, so its learning rate is not judged"

    def fix(self, d: Discrepancy) -> str:
        return "add it to a param group, or freeze it with requires_grad_(False)"

    def consequence(self, d: Discrepancy) -> str:
        return d.consequence or "no step changes it: it stays as it was initialized"
