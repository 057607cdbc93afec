"""A hidden layer with a constant that depends on width, as if it were a readout.

## What it does
Looks at every weight that maps one growing dim to another. When its init and its learning rate are
both off by the same power of width, what is wrong is the constant that multiplies its output.

## Why is this bad
1/fan_in belongs to layers with a finite output. On a hidden layer it divides activations and
updates by the width multiplier, once per layer that carries it.

## Example
    self.proj = MuReadout(width, width)                   # a hidden layer, not a readout

## Fix
    self.proj = nn.Linear(width, width)

## Evidence
Yang et al. 2022, Tensor Programs V (TP5), arXiv 2203.03466, Tables 3, 8 and 9: hidden weights carry
the multiplier 1 in all three.

## When it is fine
When init and learning rate make up for it (Lemma J.1), as in unit scaling, where every matrix
carries 1/sqrt(fan_in).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from muaudit.rules.rule import Rule
from muaudit.rules.words import WHERE_M, by_m, drifts, gap, off_by_a_constant, subject, undone, without_constant

if TYPE_CHECKING:
    from muaudit.findings.discrepancy import Discrepancy


class HiddenMultiplier(Rule):
    code = "MUP205"
    name = "hidden-multiplier"
    summary = "hidden layers must not carry a multiplier that depends on width"
    keys = frozenset({("multiplier", "hidden")})

    def message(self, d: Discrepancy) -> str:
        return f"{subject(d)}: {off_by_a_constant(d)}"

    def fix(self, d: Discrepancy) -> str:
        if without_constant(d):
            return undone(d)
        return f"{by_m(gap(d), 'its output')}, {WHERE_M}, or remove the constant: a hidden layer is no readout"

    def consequence(self, d: Discrepancy) -> str:
        return d.consequence or drifts("activations", -gap(d))
