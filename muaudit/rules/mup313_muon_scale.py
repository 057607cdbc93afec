"""A learning rate that does not fit the scale mode of Muon.

## What it does
Looks at parameters that an orthogonalising optimizer updates and at its scale mode: torch.optim.Muon's
adjust_lr_fn, the options of Keller Jordan's, Moonlight's, Dion's, Megatron's, timm's and pytorch_optimizer's; any
implementation with a step of its own is run on a copy. The spectral norm of an update must be ∝ sqrt(fan_out/fan_in).

## Why is this bad
Muon normalises its update by the spectral norm, so hidden weights need no 1/m. The mode that matches
Adam's root mean square multiplies it by sqrt(max(fan_out, fan_in)) and so grows with width; dividing
by m as for Adam makes it shrink.

## Example
    torch.optim.Muon(hidden, lr=lr / m)
    torch.optim.Muon(hidden, lr=lr, adjust_lr_fn="match_rms_adamw")

## Fix
    torch.optim.Muon(hidden, lr=lr)
    torch.optim.Muon(hidden, lr=lr * m**-0.5, adjust_lr_fn="match_rms_adamw")

## Evidence
Yang et al. 2023, A Spectral Condition for Feature Learning, arXiv 2310.17813, Condition 1: spectral
norm of updates sqrt(fan_out/fan_in). Liu et al. 2025, arXiv 2502.16982, for 0.2·sqrt(max(A, B)).

## When it is fine
Never, where the width grows; a constant factor is free.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from muaudit.findings.power import power
from muaudit.optimizers import law_of
from muaudit.rules.rule import Rule, any_role
from muaudit.rules.words import WHERE_M, by_m, gap, like, measured, needs, subject

if TYPE_CHECKING:
    from muaudit.findings.discrepancy import Discrepancy

_MODES = {
    "original": "scaled by sqrt(max(1, rows/columns))",
    "rms": "scaled by sqrt(max(rows, columns))",
    "spectral": "scaled by sqrt(fan_out/fan_in)",
    "none": "not scaled",
}


class MuonScale(Rule):
    code = "MUP313"
    name = "muon-scale"
    summary = "Muon's learning rate must fit its scale mode: ∝ n^0, or n^-1/2 where it matches Adam's rms"
    keys = any_role("lr")

    def matches(self, d: Discrepancy) -> bool:
        return d.aspect == "lr" and law_of(d.optimizer).spectral

    def message(self, d: Discrepancy) -> str:
        mode = _MODES.get(d.detail, "scaled by its shape")
        rates = f"learning rate ∝ {power(d.found)}, needs {needs(d)}{measured(d)}"
        return f"{subject(d)}: the orthogonalised update is {mode}: {rates}"

    def fix(self, d: Discrepancy) -> str:
        if d.detail == "rms" and gap(d) == -0.5:
            return f"{by_m(gap(d), 'its learning rate')}, {WHERE_M}, or use adjust_lr_fn='original'"
        return f"{by_m(gap(d), 'its learning rate')}, {WHERE_M}"

    def consequence(self, d: Discrepancy) -> str:
        drift = "grows" if gap(d) < 0 else "shrinks"
        return d.consequence or f"the spectral norm of its updates {drift} {like(-gap(d))}"
