"""Biases whose initialization changes with width.

## What it does
Looks at the exponent of the init of every vector that is added elementwise, times its multiplier.
It must be 0, or the bias must start at zero.

## Why is this bad
A bias adds its entries to activations that are constant in width. One that grows takes over. One
that shrinks with width, such as PyTorch's default for nn.Linear (uniform in ±1/sqrt(fan_in)), is a
bias at small width and none at large width, so the proxy model is a different model.

## Example
    for p in model.parameters():
        nn.init.normal_(p, std=width ** -0.5)             # a rule for weights, applied to biases too

## Fix
    nn.init.zeros_(layer.bias)

## Evidence
Yang et al. 2022, Tensor Programs V (TP5), arXiv 2203.03466, Tables 3, 8 and 9, column "input
weights & all biases": a bias is an input weight with fan_in 1.

## When it is fine
Zero init. A shrinking bias does no harm at large width, so it is a warning only; a growing one is
an error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from muaudit.findings.model import Severity
from muaudit.rules.shared import InitRule

if TYPE_CHECKING:
    from muaudit.findings.discrepancy import Discrepancy


class BiasInit(InitRule):
    code = "MUP104"
    name = "bias-init"
    summary = "biases must be initialised at zero or at a std that does not change with width"
    keys = frozenset({("init", "bias")})

    def severity_of(self, d: Discrepancy) -> Severity:
        return "warning" if d.found < d.expected else self.severity
