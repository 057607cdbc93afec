"""Gains whose initialization changes with width.

## What it does
Looks at the exponent of the init of every vector that multiplies elementwise (norm weights, layer
scale), times its multiplier. It must be 0.

## Why is this bad
What comes out of a norm is as large as the gain. A gain that depends on width undoes the norm.

## Example
    nn.init.constant_(self.norm.weight, width ** -0.5)

## Fix
    nn.init.ones_(self.norm.weight)

## Evidence
Yang et al. 2022, Tensor Programs V (TP5), arXiv 2203.03466, Appendix B.1: "the usual initialization
of layernorm weights as all 1s and biases as all 0s suffice"; Tables 3, 8 and 9, column "input
weights & all biases".

## When it is fine
A gain that starts at zero, and gains that depend on depth and not on width.
"""

from __future__ import annotations

from muaudit.rules.shared import InitRule


class GainInit(InitRule):
    code = "MUP105"
    name = "gain-init"
    summary = "gains of norms must be initialised at a value that does not change with width"
    keys = frozenset({("init", "gain")})
