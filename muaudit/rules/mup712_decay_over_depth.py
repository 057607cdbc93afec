"""Weight decay whose effect per step drifts with depth.

## What it does
Looks at the exponent in L of lr · weight_decay under AdamW (PyTorch's AdamW multiplies the two), tensor by
tensor.

## Why is this bad
lr · weight_decay is the share of a weight that each step removes. Where a learning rate falls with depth
and weight decay stays, deep models are regularised less than the one that was tuned.

## Example
    {"params": last_layers, "lr": lr / m, "weight_decay": 0.1}       # m = n_layer / base_layers

## Fix
    {"params": last_layers, "lr": lr / m, "weight_decay": 0.1 * m}

## Evidence
Dey et al. 2025, CompleteP, arXiv 2505.01618: where learning rates do not follow L, weight decay does not
either; what is kept in a weight instead of the forward takes its decay along (TP5, arXiv 2203.03466,
Lemma J.1).

## When it is fine
In short runs, where weight decay never comes into play. When you tuned it so on purpose.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from muaudit.rules.rule import Rule, any_role
from muaudit.rules.words import gap
from muaudit.rules.words_of_depth import correct, of_l, tensors_of

if TYPE_CHECKING:
    from muaudit.findings.discrepancy import Discrepancy


class DecayOverDepth(Rule):
    code = "MUP712"
    name = "decay-over-depth"
    axis = "depth"
    severity = "advice"
    summary = "lr · weight_decay should not drift with depth"
    keys = any_role("depth_decay")

    def message(self, d: Discrepancy) -> str:
        return f"{tensors_of(d, 'several tensors')}: lr · weight_decay ∝ {of_l(d.found)}, should not follow L"

    def fix(self, d: Discrepancy) -> str:
        return correct(d, "its weight decay")

    def consequence(self, d: Discrepancy) -> str:
        return f"weight decay gets {'stronger' if gap(d) < 0 else 'weaker'} like {of_l(-gap(d))}"
