"""Scales that are right only while the widths keep their ratio.

## What it does
Where a model has several width arguments and nothing is wrong while they grow alike, probes them once
more at ratios of their own, and notes init and learning rates that then go by another dim than the
tensor's own fan_in.

## Why is this bad
A fan_in taken from the wrong axis, or one width multiplier for all tensors, is a constant factor while
d_ff = 4 · d_model. The day d_ff or the number of heads grows otherwise, it is a wrong power of width.

## Example
    nn.init.normal_(self.down.weight, std=d_model**-0.5)  # down contracts d_ff
    {"params": [down.weight], "lr": lr * base_d_model / d_model}

## Fix
    nn.init.normal_(self.down.weight, std=d_ff**-0.5)
    {"params": [down.weight], "lr": lr * base_d_ff / d_ff}

## Evidence
Yang et al. 2022, Tensor Programs V (TP5), arXiv 2203.03466, Tables 3, 8 and 9 go by fan_in and fan_out
of each tensor.

## When it is fine
While all widths grow in proportion; hence advice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from muaudit.findings.power import power
from muaudit.rules.rule import Rule, any_role
from muaudit.rules.words import needs, subject

if TYPE_CHECKING:
    from muaudit.findings.discrepancy import Discrepancy


class AssumesEqualGrowth(Rule):
    code = "MUP506"
    name = "assumes-equal-growth"
    severity = "advice"
    summary = "each tensor's scale should go by its own fan_in, not by one width for all"
    keys = any_role("equal_growth")

    def message(self, d: Discrepancy) -> str:
        widths = d.detail or "the widths"
        found = f"its scale ∝ {power(d.found)} where it needs {needs(d)}"
        return f"{subject(d)}: right only while the widths keep their ratio: with {widths}, {found}"

    def fix(self, d: Discrepancy) -> str:
        return "scale it by its own fan_in: fan_in / base_fan_in in place of width / base_width"

    def consequence(self, d: Discrepancy) -> str:
        return d.consequence or "hyperparameters transfer as long as all widths grow in proportion"
