"""Gains whose learning rate has the wrong power of width.

## What it does
Looks at the exponent of the learning rate of every vector that multiplies elementwise (norm
weights, layer scale, per-channel state-space parameters), times its multiplier (squared under SGD).
Adam: 0. SGD: +1.

## Why is this bad
A gain moves activations by exactly its own change: nothing adds up over width. With the hidden
learning rate lr/m it stops learning as the model widens.

## Example
    {"params": block.parameters(), "lr": lr / m}          # takes in the norms

## Fix
    {"params": [block.norm.weight], "lr": lr}             # Adam; lr * m under SGD

## Evidence
Yang et al. 2022, Tensor Programs V (TP5), arXiv 2203.03466, Appendix B.1: layernorm weights are
"input weights" to the scalar input 1; Tables 3, 8 and 9, column "input weights & all biases".

## When it is fine
Gains that are not trained. Lingle 2024 (arXiv 2404.05728) found better transfer without trainable
gains.
"""

from __future__ import annotations

from muaudit.rules.shared import LrRule


class GainLr(LrRule):
    code = "MUP305"
    name = "gain-lr"
    summary = "gains of norms need a learning rate ∝ n^0 under Adam (n^1 under SGD)"
    keys = frozenset({("lr", "gain")})
