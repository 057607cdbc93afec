"""Input weights whose learning rate has the wrong power of width.

## What it does
Looks at every weight that maps a finite dim to a growing one (embeddings, positional tables, first
layer) and at the exponent of its learning rate times its multiplier (squared under SGD). Adam: 0.
SGD: +1.

## Why is this bad
A step changes what an input weight produces by as much as it changes the entries: nothing adds up
over width. With the hidden learning rate lr/m, embeddings stop learning as the model widens. Under
SGD their gradient shrinks like 1/n, so a constant learning rate stops them too.

## Example
    for p in model.parameters():
        groups.append({"params": [p], "lr": lr / m if p.ndim == 2 else lr})     # takes in the embedding

## Fix
    {"params": [model.tok_emb.weight, model.pos_emb.weight], "lr": lr}           # Adam; lr * m under SGD

## Evidence
Yang et al. 2022, Tensor Programs V (TP5), arXiv 2203.03466, Tables 3, 8 and 9, column "input
weights & all biases": Adam 1 (1/sqrt(fan_out) with multiplier sqrt(fan_out) in Table 9), SGD
fan_out.

## When it is fine
With a multiplier of n^1/2 in the forward pass the learning rate must be n^-1/2 (Table 9);
that passes.
"""

from __future__ import annotations

from muaudit.rules.shared import LrRule


class InputLr(LrRule):
    code = "MUP302"
    name = "input-lr"
    summary = "embeddings and input weights need a learning rate ∝ n^0 under Adam (n^1 under SGD)"
    keys = frozenset({("lr", "input"), ("lr", "positional")})
