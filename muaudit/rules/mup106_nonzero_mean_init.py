"""A matrix-like weight whose initialization has a mean other than zero.

## What it does
Compares the mean of every weight with a growing fan_in to its standard error over several
initializations.

## Why is this bad
A mean adds up over fan_in, where random signs only add up to sqrt(fan_in): a mean of the size of
the std makes what the layer produces grow by another factor of n^1/2, the same for all outputs.

## Example
    nn.init.uniform_(self.up.weight, 0.0, 0.02)

## Fix
    nn.init.uniform_(self.up.weight, -0.02, 0.02)

## Evidence
Yang et al. 2022, Tensor Programs V (TP5), arXiv 2203.03466, Appendix J.1: law of large numbers
against central limit (Table 14).

## When it is fine
Biases, gains and embeddings may have a mean: nothing sums over their growing dim. A mean of order
1/fan_in is harmless.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from muaudit.findings.power import number, power
from muaudit.rules.rule import Rule, any_role
from muaudit.rules.words import subject

if TYPE_CHECKING:
    from muaudit.findings.discrepancy import Discrepancy


class NonzeroMeanInit(Rule):
    code = "MUP106"
    name = "nonzero-mean-init"
    summary = "matrix-like weights must be initialised with zero mean"
    keys = any_role("mean")

    def message(self, d: Discrepancy) -> str:
        share = f" (mean / rms = {number(d.values[0])})" if d.values else ""
        sums = f"sums over fan_in are {power(d.found)}, not {power(d.expected)}"
        return f"{subject(d)}: init has a nonzero mean{share}, so {sums}"

    def fix(self, d: Discrepancy) -> str:
        return "initialise symmetrically around zero, e.g. nn.init.normal_(weight, mean=0.0, std=...)"

    def consequence(self, d: Discrepancy) -> str:
        return d.consequence or "the mean adds up over fan_in: activations grow n^1/2 faster than with random signs"
