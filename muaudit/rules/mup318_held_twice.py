"""A parameter that more than one param group holds.

## What it does
Looks for every parameter in the groups of all optimizers together.

## Why is this bad
It is moved once for each: by two learning rates, of which at most one is the one that was meant, and with two
states that know nothing of each other. torch refuses this within one optimizer; two optimizers, or an optimizer
with a constructor of its own, do not tell.

## Example
    muon = Muon([p for p in model.parameters() if p.dim() == 2])          # embedding and readout as well
    adam = torch.optim.AdamW([*model.embed.parameters(), *model.head.parameters(), *vectors])

## Fix
    taken = {id(p) for group in adam.param_groups for p in group["params"]}
    muon = Muon([p for p in model.parameters() if p.dim() == 2 and id(p) not in taken])

## Evidence
None is needed: the same tensor is in both lists.

## When it is fine
When the optimizers take turns, as in training a generator against a discriminator that share a part.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from muaudit.rules.rule import Rule, any_role

if TYPE_CHECKING:
    from muaudit.findings.discrepancy import Discrepancy


class HeldTwice(Rule):
    code = "MUP318"
    name = "held-twice"
    severity = "error"
    summary = "a parameter must be in one param group"
    keys = any_role("held_twice")

    def message(self, d: Discrepancy) -> str:
        whose = d.pattern or f"{len(d.tensors)} parameters"
        return f"{whose}: in more than one param group ({d.detail})"

    def fix(self, d: Discrepancy) -> str:
        return "leave it in the group whose learning rate is meant for it, and take it out of the others"

    def consequence(self, d: Discrepancy) -> str:
        return d.consequence or "every step moves it once for each group, by another learning rate"
