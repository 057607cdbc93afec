"""An initialization or a constant that follows no power of width.

## What it does
Estimates the exponent from two probes, several seeds where tensors are small, and a third probe where
those two are odd. When no multiple of 1/4 fits within the error, it says so and shows the numbers.

## Why is this bad
A sum of two powers, such as 1/sqrt(fan_in + fan_out) with one finite fan, behaves like one of them
at small width and like the other at large width: hyperparameters found at small width belong to the
wrong one.

## Example
    nn.init.xavier_normal_(self.tok_emb.weight)           # sqrt(2 / (vocab + width))

## Fix
    nn.init.normal_(self.tok_emb.weight, std=0.02)

## Evidence
Yang et al. 2022, Tensor Programs V (TP5), arXiv 2203.03466, Appendix A: an abc-parametrization is
one power of width each.

## When it is fine
When the smaller power is out of reach at every width you will ever use; probe there: --width
n_embd=512,1024.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from muaudit.findings.power import power
from muaudit.rules.rule import Rule, any_role
from muaudit.rules.words import measured, subject

if TYPE_CHECKING:
    from muaudit.findings.discrepancy import Discrepancy


class NotAPowerLaw(Rule):
    code = "MUP902"
    name = "not-a-power-law"
    axis = ""
    severity = "warning"
    summary = "an initialization or constant follows no power of width"
    keys = any_role("not_power_law")

    def message(self, d: Discrepancy) -> str:
        return f"{subject(d) or 'constant'}: follows no power of width, nearest {power(d.found)}{measured(d)}"

    def fix(self, d: Discrepancy) -> str:
        return "write it as one power of width, or probe nearer to the widths you use (--width NAME=512,1024)"

    def consequence(self, d: Discrepancy) -> str:
        return d.consequence or "what holds at the probes need not hold at large width"
