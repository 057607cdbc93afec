"""Hidden weights whose initialization does not shrink like n^-1/2.

## What it does
Looks at every weight that maps one growing dim to another (projections, MLP layers, convolutions)
and at the exponent of its init std times the constants that multiply it. It must be -1/2: std ∝
1/sqrt(fan_in).

## Why is this bad
A hidden layer sums fan_in independent terms, so its output is std · sqrt(fan_in). A std that stays
constant makes activations grow like n^1/2 in every layer; one that shrinks faster lets them die
out.

## Example
    nn.init.normal_(self.up.weight, std=0.02)             # the same at every width

## Fix
    nn.init.normal_(self.up.weight, std=0.02 * (width / base_width) ** -0.5)

Take fan_in from the dim that is contracted: nn.Linear stores (out, in), GPT-2's Conv1D stores (in,
out), and a fused qkv weight has the fan_in of one projection. PyTorch's default for nn.Linear
already scales correctly.

## Evidence
Yang et al. 2022, Tensor Programs V (TP5), arXiv 2203.03466, Tables 3, 8 and 9: init variance
1/fan_in for hidden weights, the same in all three; derivation in Appendix J.

## When it is fine
Zero initialization satisfies every init rule. A weight that is normalised before anything uses it
(weight norm, query-key norm) is judged by its update relative to its init instead.
"""

from __future__ import annotations

from muaudit.rules.shared import InitRule


class HiddenInit(InitRule):
    code = "MUP101"
    name = "hidden-init"
    summary = "hidden weights must be initialised with std ∝ n^-1/2 (1/sqrt(fan_in))"
    keys = frozenset({("init", "hidden")})
