"""Biases whose learning rate has the wrong power of width.

## What it does
Looks at the exponent of the learning rate of every vector that is added elementwise, times its
multiplier (squared under SGD). Adam: 0. SGD: +1.

## Why is this bad
A bias moves activations by exactly its own change. With the hidden learning rate lr/m biases stop
learning as the model widens. Under SGD the gradient of a bias entry shrinks like 1/n, so there the
learning rate must grow.

## Example
    {"params": block.parameters(), "lr": lr / m}          # takes in the biases

## Fix
    hidden = [p for p in block.parameters() if p.ndim >= 2]
    vectors = [p for p in block.parameters() if p.ndim < 2]
    [{"params": hidden, "lr": lr / m}, {"params": vectors, "lr": lr}]             # Adam

## Evidence
Yang et al. 2022, Tensor Programs V (TP5), arXiv 2203.03466, Tables 3, 8 and 9, column "input
weights & all biases": Adam 1, SGD fan_out.

## When it is fine
A bias of a readout has no growing dim and counts as a scalar (MUP306).
"""

from __future__ import annotations

from muaudit.rules.shared import LrRule


class BiasLr(LrRule):
    code = "MUP304"
    name = "bias-lr"
    summary = "biases need a learning rate ∝ n^0 under Adam (n^1 under SGD)"
    keys = frozenset({("lr", "bias")})
