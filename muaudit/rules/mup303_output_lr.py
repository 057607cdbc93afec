"""Readout weights whose learning rate has the wrong power of width.

## What it does
Looks at every weight that maps a growing dim to a finite one and at the exponent of its learning
rate times its multiplier (squared under SGD). It must be -1 under Adam and under SGD.

## Why is this bad
The readout's update is correlated with its input, so its contributions add up over fan_in. Without
1/fan_in, in the learning rate or as a multiplier, each step moves the logits by a power of width.

## Example
    nn.init.zeros_(self.head.weight)                      # right
    torch.optim.AdamW(model.parameters(), lr=3e-4)        # moves the logits by lr · width

## Fix
    logits = self.head(x) * (base_width / width)          # and leave the learning rate (Adam)

or {"params": [model.head.weight], "lr": lr / m} without a multiplier. One of the two, never both.

## Evidence
Yang et al. 2022, Tensor Programs V (TP5), arXiv 2203.03466, Table 3 (learning rate 1/fan_in, no
multiplier), Table 8 (multiplier 1/fan_in, Adam 1, SGD fan_in), Table 9 (multiplier 1/sqrt(fan_in),
Adam 1/sqrt(fan_in), SGD 1).

## When it is fine
Never under Adam or SGD; only the split between multiplier and learning rate is free.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from muaudit.rules.shared import LrRule

if TYPE_CHECKING:
    from muaudit.findings.discrepancy import Discrepancy


class OutputLr(LrRule):
    code = "MUP303"
    name = "output-lr"
    summary = "readout weights need learning rate × multiplier ∝ n^-1"
    keys = frozenset({("lr", "output")})
    produces = "logits"

    def matches(self, d: Discrepancy) -> bool:
        return super().matches(d) and not d.tied and d.detail != "doubled"
