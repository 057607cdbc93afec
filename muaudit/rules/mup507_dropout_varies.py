"""Dropout that drops another share at another width.

## What it does
Compares the shares that dropout drops at the two probes: of `nn.Dropout`, of `F.dropout`, and of
masks that `bernoulli_` draws.

## Why is this bad
Nothing blows up: what is kept is divided by its share, so that sizes stay. But the best learning
rate depends on how much is dropped, and with the width two things change at once.

## Example
    self.drop = nn.Dropout(0.1 * (width / base_width) ** 0.5)

## Fix
    self.drop = nn.Dropout(0.1)

## Evidence
Yang et al. 2022, Tensor Programs V (TP5), arXiv 2203.03466, Table 2 and Section 6: regularization
is tuned at the size that is trained, and is no hyperparameter that transfers over width.

## When it is fine
When it was tuned at the large width for itself: dropout against overfitting may have to be stronger
there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from muaudit.findings.power import number
from muaudit.rules.rule import Rule, any_role
from muaudit.rules.words import place

if TYPE_CHECKING:
    from muaudit.findings.discrepancy import Discrepancy


class DropoutVaries(Rule):
    code = "MUP507"
    name = "dropout-varies"
    severity = "advice"
    summary = "what dropout drops changes with width, and the best learning rate with it"
    keys = any_role("dropout")

    def message(self, d: Discrepancy) -> str:
        return f"dropout{place(d)} drops {' → '.join(map(number, d.values))} between the probes"

    def fix(self, d: Discrepancy) -> str:
        return "give dropout one p at all widths"

    def consequence(self, d: Discrepancy) -> str:
        return d.consequence or "the best learning rate moves with what is dropped"
