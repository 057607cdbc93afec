"""A scalar-like parameter whose learning rate changes with width.

## What it does
Looks at the exponent of the learning rate of every parameter without a growing dim (readout biases,
temperatures, relative position biases), times its multiplier (squared under SGD). It must be 0 for
every optimizer.

## Why is this bad
A scalar's gradient and effect do not depend on width, so neither must its step.

## Example
    {"params": model.head.parameters(), "lr": lr / m}     # takes in the bias of the head

## Fix
    {"params": [model.head.weight], "lr": lr / m}, {"params": [model.head.bias], "lr": lr}

## Evidence
Yang et al. 2022, Tensor Programs V (TP5), arXiv 2203.03466, Appendix B: scalar-like parameters keep
"a constant (in width) learning rate for both SGD and Adam"; compatible with Tables 3, 8 and 9.

## When it is fine
Never, unless a multiplier in the forward pass makes up for it; the rule counts it. The bias of a
readout that stops learning is a warning only: the weights of the readout can shift its outputs as
well, and nothing blows up or vanishes (MUP208 says more).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from muaudit.findings.model import Severity
from muaudit.rules.shared import LrRule
from muaudit.rules.words import READOUT_BIAS

if TYPE_CHECKING:
    from muaudit.findings.discrepancy import Discrepancy


class ScalarLr(LrRule):
    code = "MUP306"
    name = "scalar-lr"
    summary = "scalar parameters need a learning rate that does not change with width"
    keys = frozenset({("lr", "scalar")})

    def severity_of(self, d: Discrepancy) -> Severity:
        return "warning" if d.detail == READOUT_BIAS else self.severity
