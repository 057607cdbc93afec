"""A scalar-like parameter whose initialization changes with width.

## What it does
Looks at the exponent of the init of every parameter without a growing dim (temperatures, relative
position biases, per-head scales with a fixed head count), times its multiplier. It must be 0.

## Why is this bad
Nothing averages over a scalar: its size goes straight into whatever it multiplies or is added to.

## Example
    self.temperature = nn.Parameter(torch.tensor(width ** 0.5))

## Fix
    self.temperature = nn.Parameter(torch.tensor(1.0))

with the dependence on width, where there must be one, as a constant in the forward pass.

## Evidence
Yang et al. 2022, Tensor Programs V (TP5), arXiv 2203.03466, Appendix B: "for learnable scalar
multipliers (e.g., softmax inverse temperature), one can initialize them to 1 and use a constant (in
width) learning rate for both SGD and Adam".

## When it is fine
A scalar that starts at zero. One that is only added (the bias of a readout) and shrinks does no harm at large
width: a warning only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from muaudit.findings.model import Severity
from muaudit.rules.shared import InitRule

if TYPE_CHECKING:
    from muaudit.findings.discrepancy import Discrepancy


class ScalarInit(InitRule):
    code = "MUP107"
    name = "scalar-init"
    summary = "scalar parameters must be initialised at a value that does not change with width"
    keys = frozenset({("init", "scalar")})

    def severity_of(self, d: Discrepancy) -> Severity:
        return "warning" if d.detail == "added" and d.found < d.expected else self.severity
