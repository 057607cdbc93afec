"""Activations between hidden layers that squash, or that grow faster than their argument.

## What it does
Notes tanh, sigmoid and the like, a softmax over a dim that grows, and third or higher powers and exponentials, where a
weight matrix reads what they make.

## Why is this bad
It is not wrong. In a narrow model preactivations vary more than in a wide one. A function that squashes saturates on
them and lets less gradient through, and one that grows faster than its argument makes heavy tails: either way the best
hyperparameters of the proxy suit what the large model does not have.

## Example
    h = torch.tanh(self.hidden(h))

## Fix
    h = torch.relu(self.hidden(h))

## Evidence
Yang et al. 2022, Tensor Programs V (TP5), arXiv 2203.03466, Appendix D.3 and Fig. 9: squashing functions that are not
essential are replaced by ReLU; superlinear ones have heavy tails. Squared ReLU is not told: transfer was kept with it
(Lingle 2024, arXiv 2404.05728).

## When it is fine
Where the function is what the model is about: the state of a recurrent network. Gates, attention and what the loss
reads are not told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from muaudit.rules.rule import Rule, any_role
from muaudit.rules.words import place

if TYPE_CHECKING:
    from muaudit.findings.discrepancy import Discrepancy


class SquashingActivation(Rule):
    code = "MUP510"
    name = "squashing-activation"
    severity = "advice"
    summary = "hidden activations that squash, or grow faster than their argument, transfer worse"
    keys = any_role("activation")

    def message(self, d: Discrepancy) -> str:
        name, _, how = d.detail.partition(" ")
        what = "squashes" if how == "squashes" else "grows faster than its argument"
        times = f" (×{d.values[0]:.0f})" if d.values and d.values[0] > 1 else ""
        return f"{name}{place(d)} between hidden layers {what}{times}"

    def fix(self, d: Discrepancy) -> str:
        return "use ReLU, GELU or the like, where this function is not what the model is about"

    def consequence(self, d: Discrepancy) -> str:
        return d.consequence or "narrow models are distorted more than wide ones, and so are their best hyperparameters"
