"""Adam's eps comes near the gradients at the target width.

## What it does
Measures the gradient's root mean square at the probes, extrapolates it by its exponent to the
target width and compares it with eps: within a factor of ten where the target width is known
(--target-width, or the model's own), above the gradient where it is a guess (64 times the probe).

## Why is this bad
Gradients of hidden weights shrink like 1/n. Once they reach eps, Adam's update is no longer
independent of the gradient's size: wide models get smaller steps than the proxy, and parameters
stop learning one after another. An eps far above all gradients makes steps plain gradient descent's,
and has to follow the gradients' size wherever it goes, also where that grows.

## Example
    torch.optim.AdamW(groups, lr=lr, eps=1e-8)            # with gradients of 1e-8 at the target width

## Fix
    torch.optim.AdamW(groups, lr=lr, eps=1e-15)

or scale eps by 1/m for hidden weights and for vectors.

## Evidence
Yang et al. 2022, Tensor Programs V (TP5), arXiv 2203.03466, Appendix B.3: eps must be negligible,
or scaled like 1/fan_in when added after the square root. Everett et al. 2024, arXiv 2407.05872.

## When it is fine
When eps stays far below the gradients at the width you train: any exponent will do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from muaudit.findings.power import power
from muaudit.rules.rule import Rule, any_role
from muaudit.rules.words import WHERE_M, by_m, eps_and_gradients, gap, needs, subject

if TYPE_CHECKING:
    from muaudit.findings.discrepancy import Discrepancy


class AdamEps(Rule):
    code = "MUP311"
    name = "adam-eps"
    severity = "warning"
    summary = "Adam's eps must stay far below the gradients at the target width, or scale with them"
    keys = any_role("eps")

    def message(self, d: Discrepancy) -> str:
        sizes = eps_and_gradients(d, "", "the target width")
        return f"{subject(d)}: eps ∝ {power(d.found)} while its gradients need {needs(d)}{sizes}"

    def fix(self, d: Discrepancy) -> str:
        return f"lower eps (1e-15 is safe in float32), or {by_m(gap(d), 'eps')}, {WHERE_M}"

    def consequence(self, d: Discrepancy) -> str:
        if d.found < d.expected:
            return (
                "eps stands far above the gradients: steps follow the gradients' size, and grow with width as it does"
            )
        return d.consequence or "at the target width gradients reach eps and updates shrink with them"
