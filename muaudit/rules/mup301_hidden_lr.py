"""Hidden weights whose learning rate has the wrong power of width.

## What it does
Looks at every weight that maps one growing dim to another and at the exponent of its learning rate
times its multiplier (squared under SGD). Adam, AdamW, RMSProp, Adagrad, Lion: -1. SGD: 0. LARS,
LAMB, Adafactor with parameter scaling: -1/2. Muon: by its scale option.

## Why is this bad
Adam's updates have entries of size lr whatever the gradient, and they are correlated with the
layer's input: their contributions add up over fan_in. With one learning rate for all, each step
moves activations by lr · fan_in, so the best learning rate falls as the model widens, and one that
was tuned small is too large for the wide model.

## Example
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4)

## Fix
    m = width / base_width
    optimizer = torch.optim.AdamW([
        {"params": hidden, "lr": lr / m},
        {"params": the_rest, "lr": lr},
    ])

## Evidence
Yang et al. 2022, Tensor Programs V (TP5), arXiv 2203.03466, Tables 3, 8 and 9, row "Adam LR":
1/fan_in for hidden weights, the same in all three; row "SGD LR": 1. Section B.3 for LARS and LAMB;
arXiv 2310.17813 for Muon (spectral condition).

## When it is fine
An optimizer that normalises its update by the spectral norm already makes this correction: never
divide Muon's learning rate by m as well.
"""

from __future__ import annotations

from muaudit.rules.shared import LrRule


class HiddenLr(LrRule):
    code = "MUP301"
    name = "hidden-lr"
    summary = "hidden weights need a learning rate ∝ n^-1 under Adam (n^0 under SGD)"
    keys = frozenset({("lr", "hidden")})
