"""The optimizer's factors are 1 at one width, the model's at another.

## What it does
Every factor of µP is (width / base_width) to some power, so it is 1 at the base width. Reads at which
width the learning rates of the param groups are equal, and at which width the multipliers of the
forward pass are 1, and compares.

## Why is this bad
With two base widths the scaled parts are off by a constant factor against each other, at every
width: hyperparameters copied from a run with one base width are tuned for something else.

## Example
    GPTConfig(base_width=128)                             # logits * base_width / width
    {"params": hidden, "lr": lr * 256 / width}

## Fix
    m = config.width / config.base_width                  # one number, used by model and optimizer

## Evidence
Yang et al. 2022, Tensor Programs V (TP5), arXiv 2203.03466, Appendix B.4: µP is SP at the base width,
so every factor is 1 there.

## When it is fine
Constants are free (Lemma J.1): a multiplier or a learning rate of one group may be tuned apart. The
exponents are right, so transfer is not at stake; hence advice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from muaudit.findings.power import number
from muaudit.rules.rule import Rule, any_role
from muaudit.rules.words import subject

if TYPE_CHECKING:
    from muaudit.findings.discrepancy import Discrepancy


class BaseWidthDiffers(Rule):
    code = "MUP504"
    name = "base-width-differs"
    severity = "advice"
    summary = "model and optimizer should scale from one base width"
    keys = any_role("base_width")

    def message(self, d: Discrepancy) -> str:
        if len(d.values) != 2:
            return f"{subject(d)}: model and optimizer do not share one base width"
        model, optimizer = map(number, d.values)
        return (
            f"{subject(d)}: the multiplier is 1 at width {model}, the learning rates of the groups are equal at "
            f"{optimizer}: two base widths, or a tuned constant"
        )

    def fix(self, d: Discrepancy) -> str:
        return "compute width / base_width once and use it in the model and in the optimizer"

    def consequence(self, d: Discrepancy) -> str:
        return d.consequence or "at no width is this the model that standard hyperparameters were tuned for"
