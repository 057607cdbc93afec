"""Input weights whose initialization changes with width.

## What it does
Looks at every weight that maps a finite dim to a growing one (token and positional embeddings, the
first layer, patch embeddings) and at the exponent of its init std times the constants that multiply
it. It must be 0.

## Why is this bad
An input weight sums over a finite number of terms, so what it produces is as large as its entries.
A std that shrinks with width makes the input fade next to everything else; one that grows drowns
everything else.

## Example
    nn.init.normal_(self.tok_emb.weight, std=d_model ** -0.5)      # and no sqrt(d_model) in the forward

## Fix
    nn.init.normal_(self.tok_emb.weight, std=0.02)

or keep the init and multiply the output by sqrt(d_model), as the original Transformer does:
together they are constant.

## Evidence
Yang et al. 2022, Tensor Programs V (TP5), arXiv 2203.03466, Tables 3 and 8 (init variance 1/fan_in,
where fan_in is finite) and Table 9 (variance 1/fan_out with multiplier sqrt(fan_out)). Invariant
under Lemma J.1: init × multiplier.

## When it is fine
Zero initialization. An embedding that is normalised before anything else uses it.
"""

from __future__ import annotations

from muaudit.rules.shared import InitRule


class InputInit(InitRule):
    code = "MUP102"
    name = "input-init"
    summary = "input weights and embeddings must be initialised at a std that does not change with width"
    keys = frozenset({("init", "input"), ("init", "positional")})
