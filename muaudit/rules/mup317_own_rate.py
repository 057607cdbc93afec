"""A factor on every step that is found in training, one for all parameters.

## What it does
Runs the optimizer's step on a copy while other parameters have large gradients. Where that changes the step, or a
group holds a step size `d` of D-Adaptation or Prodigy, one factor stands before all steps that the gradients of all
parameters decide. The learning rates of the groups are judged beside each other, as if this factor were the same at
all widths.

## Why is this bad
It need not be: the factor is a ratio of norms over the whole model, and moves by itself as the width grows. What
the factors of the groups say about each other is kept; whether the whole transfers is not known before training.

## Example
    prodigyopt.Prodigy(model.parameters(), lr=1.0)        # one rate for all: hidden weights need 1 / m of it

## Fix
    prodigyopt.Prodigy([{"params": hidden, "lr": 1 / m}, {"params": rest, "lr": 1.0}])

and compare d at the end of short runs at two widths; where it differs, fix it at what the narrow model found.

## Evidence
Defazio & Mishchenko 2023, arXiv 2301.07733; Mishchenko & Defazio 2023, arXiv 2306.06101: d is estimated over all
parameters, and only grows. No transfer of d over width has been published that we know of.

## When it is fine
When d comes out alike at the widths that you train, or is searched for anew at each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from muaudit.rules.rule import Rule, any_role

if TYPE_CHECKING:
    from muaudit.findings.discrepancy import Discrepancy


class OwnRate(Rule):
    code = "MUP317"
    name = "own-rate"
    severity = "advice"
    summary = "a rate that the optimizer finds in training is one factor for all parameters, and may move with width"
    keys = any_role("own_rate")

    def message(self, d: Discrepancy) -> str:
        return (
            f"{d.detail} multiplies every step by a factor that all gradients together decide: learning rates are "
            "judged beside each other, as if that factor stayed"
        )

    def fix(self, d: Discrepancy) -> str:
        return "keep the factors of width in the groups' lr, and compare the factor at two widths after a short run"

    def consequence(self, d: Discrepancy) -> str:
        return d.consequence or "where the factor moves with width, all learning rates move with it"
