"""Weights that start at zero on both ends of a path, so that no gradient ever arrives.

## What it does
Where gradients are zero at the first step, trains the narrow probe for a few updates and looks again. Reports
hidden weights and readouts that started at zero and still have a gradient of exactly zero.

## Why is this bad
A readout that starts at zero is good: it gets a gradient at once, and what is behind it from the second step on.
When the only path to it goes through a weight that starts at zero as well, the readout sees zeros and the hidden
weight gets its gradient through zeros: neither ever moves, and nor does anything behind them.

## Example
    nn.init.zeros_(self.proj.weight)
    nn.init.zeros_(self.head.weight)
    return self.head(self.proj(x))

## Fix
    nn.init.normal_(self.proj.weight, std=fan_in ** -0.5)     # keep the zeros of one of them
    nn.init.zeros_(self.head.weight)

or give the path around it: x + self.proj(x).

## Evidence
The product rule: the derivative of a·b with respect to either is zero where the other is. Measured here by
updates of the probe.

## When it is fine
Never, unless something else sets these weights before training.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from muaudit.rules.rule import Rule, any_role

if TYPE_CHECKING:
    from muaudit.findings.discrepancy import Discrepancy


class DeadPath(Rule):
    code = "MUP407"
    name = "dead-path"
    summary = "weights that start at zero must not wait for each other"
    keys = any_role("dead_path")

    def message(self, d: Discrepancy) -> str:
        return f"{', '.join(d.tensors)}: start at zero and still have no gradient after a few updates"

    def fix(self, d: Discrepancy) -> str:
        return "let only the readout start at zero, and give the hidden weights before it a random init"

    def consequence(self, d: Discrepancy) -> str:
        return d.consequence or "each waits for the other to move: they are never trained, nor is what is behind them"
