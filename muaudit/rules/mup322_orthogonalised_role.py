"""An orthogonalised update on what is not a matrix between two widths.

## What it does
Looks for embeddings and tables of positions, readouts and routers, depthwise kernels, gains and biases among the
parameters that Muon or another orthogonalising optimizer trains. Vectors count where they move along their gradient
divided by its norm, which is what orthogonalising makes of a single column.

## Why is this bad
Orthogonalising makes all directions of an update equally large. For a matrix between hidden layers that is the
update of a given spectral norm. The rows of an embedding are vectors of their own, of which a batch reads a few:
those it did not read are moved as well. A readout's directions are classes, a router's are experts: rare ones are
moved as far as frequent ones. A depthwise kernel holds one small filter a channel, a gain one number: no matrix at all.

## Example
    Muon([p for p in model.parameters() if p.dim() >= 2])         # embedding and readout are among them

## Fix
    Muon([p for name, p in model.named_parameters() if p.dim() >= 2 and "embed" not in name and "head" not in name])
    AdamW([...])                                                  # the rest

## Evidence
Jordan et al. 2024, Muon: hidden weights alone, embedding, readout, gains and biases by AdamW. Liu et al. 2025, Muon
is Scalable for LLM Training, arXiv 2502.16982, Section 2: the same.

## When it is fine
When it was tried: some report readouts that train well under it, with a learning rate ∝ sqrt(fan_out/fan_in).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from muaudit.findings.power import power
from muaudit.rules.rule import Rule, any_role
from muaudit.rules.words import gap

if TYPE_CHECKING:
    from muaudit.findings.discrepancy import Discrepancy
    from muaudit.findings.model import Severity


class OrthogonalisedRole(Rule):
    code = "MUP322"
    name = "orthogonalised-role"
    severity = "warning"
    summary = "embeddings, readouts, depthwise kernels and vectors should not get orthogonalised updates"
    keys = any_role("orthogonalised_role")

    def severity_of(self, d: Discrepancy) -> Severity:
        """Where its learning rate does not fit the norm either, it blows up, or stops learning."""
        return "error" if gap(d) else self.severity

    def message(self, d: Discrepancy) -> str:
        whose = d.pattern or f"{len(d.tensors)} tensors"
        rate = f", where its learning rate ∝ {power(d.found)} needs {power(d.expected)}" if gap(d) else ""
        return f"{whose}: {d.detail} under an orthogonalised update{rate}"

    def fix(self, d: Discrepancy) -> str:
        return "train it by Adam or AdamW, in an optimizer or group of its own"

    def consequence(self, d: Discrepancy) -> str:
        return d.consequence or "what a batch says little about is moved as far as what it says most about"
