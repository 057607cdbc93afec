"""A weight that makes outputs that grow and outputs that do not.

## What it does
Notes a hidden weight of which some rows make what does not grow with the width (states beside step sizes, a fixed
number of key heads beside queries), where these rows start as large as the others. Everything else about them is judged
as about any readout.

## Why is this bad
What does not grow sums over a dim that does: those rows are a readout. Started like a hidden weight, they put outputs
of size 1 where training will add aligned ones.

## Example
    self.x_proj = nn.Linear(n, n // 16 + 2 * 16)          # a step size that grows, states that do not
    dt, b, c = self.x_proj(x).split([n // 16, 16, 16], -1)

## Fix
    self.x_proj.weight.data[n // 16:] *= (n / base) ** -0.5    # or make them a layer of their own

## Evidence
Yang et al. 2022, Tensor Programs V (TP5), arXiv 2203.03466, Table 3: a weight from a growing to a finite dim starts
like 1/fan_in, a hidden one like 1/sqrt(fan_in); its learning rate under SGD is 1/fan_in, where a hidden one's is 1.

## When it is fine
Under Adam both parts want the same learning rate, so only the start differs, and training moves on from it. Many
published models leave it so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from muaudit.findings.power import power
from muaudit.rules.rule import Rule, any_role
from muaudit.rules.words import place

if TYPE_CHECKING:
    from muaudit.findings.discrepancy import Discrepancy


class FusedProjection(Rule):
    code = "MUP508"
    name = "fused-projection"
    severity = "advice"
    summary = "rows of a hidden weight that make what does not grow should start smaller than the others"
    keys = any_role("fused")

    def message(self, d: Discrepancy) -> str:
        which = f"outputs {d.values[0]:.0f} to {d.values[1]:.0f}" if len(d.values) == 2 else "some outputs"
        return (
            f"{d.pattern}{place(d)}: {which} do not grow with the width and start as {power(d.found)}, "
            f"a readout's rows start as {power(d.expected)} or smaller"
        )

    def fix(self, d: Discrepancy) -> str:
        return f"scale the init of these rows by {power(d.expected - d.found)}, or make them a layer of their own"

    def consequence(self, d: Discrepancy) -> str:
        return d.consequence or "these outputs start as large as training will make them, and random"
