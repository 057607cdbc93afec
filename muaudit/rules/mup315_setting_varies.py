"""A setting of the optimizer that changes with width, and is none that µP scales.

## What it does
Compares every number that the optimizer's class takes as a setting, group by group, between the two widths:
betas, momentum, dampening, rho and the like. The learning rate, weight decay, eps and factors that multiply
the learning rate have rules of their own.

## Why is this bad
µP scales initialization, multipliers, learning rates, and with them weight decay and eps. Momentum and
betas say over how many steps an average runs, and that does not depend on width: with a beta tuned at a small
width another one at a large width is another training.

## Example
    torch.optim.AdamW(groups, lr=lr, betas=(0.9, 1 - 0.05 / m))

## Fix
    torch.optim.AdamW(groups, lr=lr, betas=(0.9, 0.95))

## Evidence
Yang et al. 2022, Tensor Programs V (TP5), arXiv 2203.03466, Table 2 and Appendix B.3: momentum and Adam's
betas transfer as they are.

## When it is fine
When the setting was tuned at each width, or batch and duration change with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from muaudit.findings.power import number, power
from muaudit.rules.rule import Rule, any_role

if TYPE_CHECKING:
    from muaudit.findings.discrepancy import Discrepancy


class SettingVaries(Rule):
    code = "MUP315"
    name = "setting-varies"
    severity = "warning"
    summary = "momentum, betas and other settings of the optimizer must not change with width"
    keys = any_role("setting")

    def message(self, d: Discrepancy) -> str:
        whose = d.pattern or f"{len(d.tensors)} tensors"
        read = " → ".join(map(number, d.values))
        return f"{d.detail} of {whose} changes with width ({read}, ∝ {power(d.found)})"

    def fix(self, d: Discrepancy) -> str:
        return f"give {d.detail} one value at all widths"

    def consequence(self, d: Discrepancy) -> str:
        return d.consequence or "hyperparameters tuned with one value do not hold for another"
