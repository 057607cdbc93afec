"""A setting of the optimizer that reaches no param group.

## What it does
Makes the model's own optimizer once more with twice the value of every argument that is called like a learning rate, a
factor of one or a weight decay (`embedding_lr_scale`, `weight_decay`, ...): something in the param groups has to
change. Settings of schedules (`min_lr`, `warmup_lr`) are left out.

## Why is this bad
The factor that was tuned, or derived from the width, never arrives: what it was there for trains with the learning rate
of everything else.

## Example
    def __init__(self, width, hidden_lr_scale=0.25): ...
    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=1e-3)      # hidden_lr_scale is nowhere

## Fix
    groups = [{"params": hidden, "lr": 1e-3 * self.hidden_lr_scale}, {"params": others}]
    return torch.optim.AdamW(groups, lr=1e-3)

## Evidence
None is needed: the param groups are the same with another value.

## When it is fine
When the training loop reads the argument itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from muaudit.rules.rule import Rule, any_role

if TYPE_CHECKING:
    from muaudit.findings.discrepancy import Discrepancy


class OptimizerSetting(Rule):
    code = "MUP324"
    name = "optimizer-setting"
    severity = "advice"
    summary = "a setting of the optimizer should reach a param group"
    keys = any_role("optimizer_setting")

    def message(self, d: Discrepancy) -> str:
        at = "".join(f": at {value:g} and at twice that the optimizer is the same" for value in d.values[:1])
        return f"{d.detail} changes no param group{at}"

    def fix(self, d: Discrepancy) -> str:
        return f"use {d.detail} where the param groups are made, or take it away"

    def consequence(self, d: Discrepancy) -> str:
        return d.consequence or "what it should set trains as everything else does"
