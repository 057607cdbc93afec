"""Something outside the residual stack that follows depth.

## What it does
Looks at embeddings, positions, the final norm, the readout: at their initialization, their learning rate
and the constants on them.

## Why is this bad
There is one of each, however many blocks there are. A learning rate that falls with depth stops it from
learning in a deep model; a constant or an init that follows depth changes its weight against the stream.

## Example
    {"params": model.parameters(), "lr": lr / m}          # the embedding and the readout, too

## Fix
    {"params": model.blocks.parameters(), "lr": lr / m}, {"params": others, "lr": lr}

## Evidence
Dey et al. 2025, CompleteP, arXiv 2505.01618, Table 1: the rows of embeddings and of the unembedding do not
depend on depth.

## When it is fine
When two of these make up for each other, as an init and a constant do. The audit counts that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from muaudit.rules.rule import Rule, any_role
from muaudit.rules.words_of_depth import correct, of_l, tensors_of

if TYPE_CHECKING:
    from muaudit.findings.discrepancy import Discrepancy


def _what(d: Discrepancy) -> str:
    return {"init": "init std", "lr": "learning rate"}.get(d.detail, "constant")


class OutsideDepth(Rule):
    code = "MUP706"
    name = "outside-depth"
    axis = "depth"
    summary = "what is outside the residual stack must not follow its depth"
    keys = any_role("outside_depth")

    def message(self, d: Discrepancy) -> str:
        name = tensors_of(d, "tensors outside the stack")
        return f"{name}: {_what(d)} ∝ {of_l(d.found)}, needs {of_l(d.expected)}"

    def fix(self, d: Discrepancy) -> str:
        return correct(d, f"its {_what(d)}")

    def consequence(self, d: Discrepancy) -> str:
        return "there is one of it, whatever the number of blocks"
