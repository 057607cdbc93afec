"""A readout that does not start at zero.

## What it does
Notes readout weights with a random initialization.

## Why is this bad
It is not wrong. At finite width a random readout adds noise of size n^-1/2 to the logits, which
differs between the proxy and the large model and takes some of the transfer's quality away.

## Example
    nn.init.normal_(self.head.weight, std=0.02 / width_mult)

## Fix
    nn.init.zeros_(self.head.weight)

## Evidence
Yang et al. 2022, Tensor Programs V (TP5), arXiv 2203.03466, Appendix D.2: zero initialization for
output layers and query layers.

## When it is fine
With tied embeddings, which cannot start at zero.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from muaudit.rules.rule import Rule, any_role
from muaudit.rules.words import subject

if TYPE_CHECKING:
    from muaudit.findings.discrepancy import Discrepancy


class ZeroInitReadout(Rule):
    code = "MUP501"
    name = "zero-init-readout"
    severity = "advice"
    summary = "readouts transfer best when they start at zero"
    keys = any_role("zero_readout")

    def message(self, d: Discrepancy) -> str:
        return f"{subject(d)}: does not start at zero"

    def fix(self, d: Discrepancy) -> str:
        return "nn.init.zeros_(head.weight)"

    def consequence(self, d: Discrepancy) -> str:
        return d.consequence or "at small width the random readout adds noise that the large model does not have"
