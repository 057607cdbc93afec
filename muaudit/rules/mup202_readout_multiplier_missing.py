"""A readout whose output is not scaled down with width.

## What it does
Looks at every weight that maps a growing dim to a finite one. When its init and its learning rate
are both too large by the same power of width, what is missing is a multiplier on its output.

## Why is this bad
The trained readout is correlated with its input and adds up over fan_in: logits grow with every
step by a power of width, and the best learning rate falls as the model widens.

## Example
    nn.init.normal_(self.head.weight, std=0.02)
    logits = self.head(x)

## Fix
    logits = self.head(x) * (base_width / width)

or microsoft/mup's MuReadout, which does the same.

## Evidence
Yang et al. 2022, Tensor Programs V (TP5), arXiv 2203.03466, Table 8: output weights carry the
multiplier 1/fan_in. Tables 3 and 9 move it to init and learning rate (Lemma J.1).

## When it is fine
When init std and learning rate are each divided by the width multiplier instead (Table 3);
that passes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from muaudit.findings.power import number, power
from muaudit.rules.rule import Rule
from muaudit.rules.words import drifts, gap, needs, scaled, subject

if TYPE_CHECKING:
    from muaudit.findings.discrepancy import Discrepancy


class ReadoutMultiplierMissing(Rule):
    code = "MUP202"
    name = "readout-multiplier-missing"
    summary = "the readout's output must be scaled by 1/fan_in (or its init and learning rate)"
    keys = frozenset({("multiplier", "output")})

    def matches(self, d: Discrepancy) -> bool:
        return super().matches(d) and not d.tied and not readout_doubled(d)

    def message(self, d: Discrepancy) -> str:
        return f"{subject(d)}: multiplier ∝ {power(d.found)}, needs {needs(d)}"

    def fix(self, d: Discrepancy) -> str:
        if d.biased:
            factor = "base_width / width" if gap(d) == -1 else f"(width / base_width)**{number(gap(d))}"
            return f"multiply what the readout reads, which spares its bias: logits = head(x * ({factor}))"
        if gap(d) == -1:
            return "multiply the logits by base_width / width: logits = head(x) * (base_width / width)"
        return f"logits = {scaled('head(x)', gap(d), '(width / base_width)')}"

    def consequence(self, d: Discrepancy) -> str:
        return d.consequence or drifts("logits", -gap(d))


def readout_doubled(d: Discrepancy) -> bool:
    """Whether a readout is scaled down more than once: said so, or (multiplier) smaller than needed."""
    return d.detail == "doubled" or (d.aspect == "multiplier" and d.detail != "missing" and d.found < d.expected)
