"""Weight decay whose effect per step drifts with width.

## What it does
Looks at the exponent of lr · weight_decay on hidden weights under AdamW (PyTorch's AdamW multiplies
the two) and compares it with the profile's target: 0 by default.

## Why is this bad
lr · weight_decay is the share of a weight that each step removes. When the learning rate of hidden
weights falls like 1/m and weight decay stays, large models are hardly regularised, and weights
settle at another size than in the proxy.

## Example
    {"params": hidden, "lr": lr / m, "weight_decay": 0.1}

## Fix
    {"params": hidden, "lr": lr / m, "weight_decay": 0.1 * m}

## Evidence
The sources disagree, so this is advice. lr · wd constant: microsoft/mup, CompleteP (arXiv
2505.01618), Wang & Aitchison (arXiv 2405.13698), Kosson et al. (arXiv 2510.19093). n^-1/2: Fan et
al. (arXiv 2510.15262). n^-1, that is, weight decay independent of width: TP5 (arXiv 2203.03466) as
written in B.3.

## When it is fine
In short runs, where weight decay never comes into play. When you tuned it so on purpose.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from muaudit.findings.power import power
from muaudit.rules.rule import Rule, any_role
from muaudit.rules.words import WHERE_M, by_m, gap, like, measured, needs, subject

if TYPE_CHECKING:
    from muaudit.findings.discrepancy import Discrepancy


class WeightDecayExponent(Rule):
    code = "MUP310"
    name = "weight-decay-exponent"
    severity = "advice"
    summary = "lr · weight_decay of hidden weights should not drift with width"
    keys = any_role("weight_decay")

    def message(self, d: Discrepancy) -> str:
        values = measured(d, "weight_decay")
        return f"{subject(d)}: lr · weight_decay ∝ {power(d.found)}, the profile aims at {needs(d)}{values}"

    def fix(self, d: Discrepancy) -> str:
        return f"{by_m(gap(d), 'its weight decay')}, {WHERE_M}"

    def consequence(self, d: Discrepancy) -> str:
        effect = "stronger" if gap(d) < 0 else "weaker"
        return d.consequence or f"weight decay gets {effect} {like(-gap(d))}"
