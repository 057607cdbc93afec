"""Several matrices that are orthogonalised as one.

## What it does
Where Muon or another orthogonalising optimizer trains a hidden weight, looks in the recorded graph for what its
outputs are taken apart into (queries, keys and values, gate and up), and whether it is a stack of matrices (experts).
Which entries the step treats together is found on a copy: an optimizer that takes the gradient apart is held against
the parts of the graph, by their sizes, their order and their axis.

## Why is this bad
The parts are matrices of their own, but they share one spectral norm. The direction of the largest part is what
decides, and each part gets an update that depends on what the others need. As separate layers, or split before
orthogonalising, each gets the norm that the spectral condition asks for.

## Example
    self.qkv = nn.Linear(n, 3 * n)                        # and Muon([self.qkv.weight, ...])

## Fix
    self.q, self.k, self.v = (nn.Linear(n, n) for _ in range(3))

or an implementation that splits the gradient at these rows before it orthogonalises.

## Evidence
Jordan et al. 2024, Muon: works better with q, k and v orthogonalised apart. Yang, Simon & Bernstein 2023, arXiv
2310.17813: the condition is on each matrix that acts as one.

## When it is fine
When the implementation splits by itself; a factor of the shape of the whole is a constant where all parts grow
alike.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from muaudit.findings.power import power
from muaudit.rules.rule import Rule, any_role
from muaudit.rules.words import gap

if TYPE_CHECKING:
    from muaudit.findings.discrepancy import Discrepancy
    from muaudit.findings.model import Severity


class OrthogonalisedAsOne(Rule):
    code = "MUP323"
    name = "orthogonalised-as-one"
    severity = "advice"
    summary = "what the graph uses as several matrices should be orthogonalised apart"
    keys = any_role("orthogonalised_as_one")

    def severity_of(self, d: Discrepancy) -> Severity:
        """A factor of the shape of a stack may be of another power than that of one of its matrices."""
        return "error" if gap(d) else self.severity

    def message(self, d: Discrepancy) -> str:
        if d.detail == "stack":
            rate = f", so its learning rate ∝ {power(d.found)} needs {power(d.expected)}" if gap(d) else ""
            return f"{d.pattern}: orthogonalised as one matrix, and it is a stack of {len(d.values)}{rate}"
        sizes = ", ".join(f"{size:.0f}" for size in d.values) or "several sizes"
        return f"{d.pattern}: what is orthogonalised as one matrix holds outputs that are taken apart into {sizes}"

    def fix(self, d: Discrepancy) -> str:
        if d.detail == "stack":
            return "orthogonalise along the last two dims: each matrix of the stack by itself"
        return "make the parts layers of their own, or split the gradient at these outputs before orthogonalising"

    def consequence(self, d: Discrepancy) -> str:
        return d.consequence or "the parts share one spectral norm: the largest gradient among them decides for all"
