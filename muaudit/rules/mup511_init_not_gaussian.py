"""Matrices whose initialization is not Gaussian.

## What it does
Notes hidden and output weights whose entries are far from a normal distribution at initialization, by their measured
kurtosis: 3 for a normal distribution, 1.8 for a uniform one, more than 3 where few entries are large. A normal
distribution that is cut off at two standard deviations has 2.4, which is not told.

## Why is this bad
It is not wrong. In the limit of large width any distribution acts as a normal one does, and others get there later: a
narrow proxy is then farther from the large model than it has to be.

## Example
    self.hidden = nn.Linear(n, n)                         # PyTorch's default: uniform

## Fix
    nn.init.normal_(self.hidden.weight, std=n**-0.5)

## Evidence
Yang et al. 2022, Tensor Programs V (TP5), arXiv 2203.03466, Appendix D.5: with initializations that are not Gaussian
(uniform ones) wider models were sometimes worse than narrower ones.

## When it is fine
In proxies that are wide enough. TP5 saw the effect sometimes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from muaudit.rules.rule import Rule, any_role
from muaudit.rules.words import subject

if TYPE_CHECKING:
    from muaudit.findings.discrepancy import Discrepancy


class InitNotGaussian(Rule):
    code = "MUP511"
    name = "init-not-gaussian"
    severity = "advice"
    summary = "weights that do not start with a normal distribution reach the large-width limit later"
    keys = any_role("init_shape")

    def message(self, d: Discrepancy) -> str:
        kind = "flatter than a normal distribution" if d.detail == "flat" else "with few large entries"
        measured = f" (kurtosis {d.values[0]:.1f}, a normal one has 3)" if d.values else ""
        return f"{subject(d)}: start {kind}{measured}"

    def fix(self, d: Discrepancy) -> str:
        return "nn.init.normal_ with the same std"

    def consequence(self, d: Discrepancy) -> str:
        return d.consequence or "a narrow proxy is farther from the large model than it has to be"
