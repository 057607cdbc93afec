"""One matrix that is orthogonalised in pieces.

## What it does
Where an orthogonalising optimizer trains a hidden weight, finds out on a copy which entries its step treats together,
and holds that against the matrix that the recorded graph uses: a convolution's kernel from all channels to all
channels, a weight from all inputs to all outputs.

## Why is this bad
Each piece gets the spectral norm of one, and the norm of the whole grows with the number of pieces. Kernels that are
not flattened (3 x 3 matrices by the hundred), blocks of a fixed size, and heads that are split along the wrong axis
need another learning rate than the whole would, one that changes with the width where the number of pieces does.

## Example
    update = newton_schulz(conv.weight.grad)                      # (out, in, 3, 3): every 3 x 3 by itself

## Fix
    update = newton_schulz(conv.weight.grad.flatten(1)).view_as(conv.weight)

## Evidence
Yang, Simon & Bernstein 2023, A Spectral Condition for Feature Learning, arXiv 2310.17813: the condition is on each
matrix that acts as one. Jordan et al. 2024, Muon: kernels are flattened to (out, in · height · width).

## When it is fine
When the learning rate is ∝ what the number of pieces leaves of the norm; that is judged, and this is advice then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from muaudit.findings.power import power
from muaudit.rules.rule import Rule, any_role
from muaudit.rules.words import gap

if TYPE_CHECKING:
    from muaudit.findings.discrepancy import Discrepancy
    from muaudit.findings.model import Severity


class OrthogonalisedInPieces(Rule):
    code = "MUP325"
    name = "orthogonalised-in-pieces"
    severity = "advice"
    summary = "what the graph uses as one matrix should be orthogonalised as one"
    keys = any_role("orthogonalised_cut")

    def severity_of(self, d: Discrepancy) -> Severity:
        return "error" if gap(d) else self.severity

    def message(self, d: Discrepancy) -> str:
        shape = " × ".join(f"{size:.0f}" for size in d.values if size > 1) or "single entries"
        rate = f", so its learning rate ∝ {power(d.found)} needs {power(d.expected)}" if gap(d) else ""
        return f"{d.pattern}: orthogonalised in pieces of {shape}, and the model uses it as one matrix{rate}"

    def fix(self, d: Discrepancy) -> str:
        return "orthogonalise the whole matrix, from all inputs to all outputs: flatten kernels, and split by outputs"

    def consequence(self, d: Discrepancy) -> str:
        return d.consequence or "the norm of the whole update follows the number of pieces"
