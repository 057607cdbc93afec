"""Learning rates that follow the table of another optimizer.

## What it does
Where the learning rates of several tensors are wrong, judges them as if SGD were Adam, or Adam SGD.
When that leaves nothing wrong, the table is the mistake, and this one finding stands for all.

## Why is this bad
Adam's steps do not depend on the gradient's size, SGD's do, so their rules differ: hidden weights
1/m under Adam and 1 under SGD, vectors 1 under Adam and m under SGD. With the wrong table hidden
weights or vectors stop learning, or take steps that grow with the width.

## Example
    torch.optim.SGD([{"params": hidden, "lr": lr / m}, {"params": vectors, "lr": lr}])

## Fix
    torch.optim.SGD([{"params": hidden, "lr": lr}, {"params": vectors, "lr": lr * m}])

muaudit tables prints the tables of both.

## Evidence
Yang et al. 2022, Tensor Programs V (TP5), arXiv 2203.03466, Tables 3, 8 and 9: rows "SGD LR" and
"Adam LR".

## When it is fine
Never.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from muaudit.optimizers import families, law_of
from muaudit.rules.rule import Rule, any_role

if TYPE_CHECKING:
    from muaudit.findings.discrepancy import Discrepancy


class WrongOptimizerTable(Rule):
    code = "MUP314"
    name = "wrong-optimizer-table"
    summary = "learning rates must follow the table of the optimizer that is used"
    keys = any_role("table")

    def message(self, d: Discrepancy) -> str:
        other, used = _table(d.detail) or "another optimizer", _table(d.optimizer) or "this optimizer"
        return f"learning rates follow the table for {other}, and the optimizer is {used}: {len(d.tensors)} tensors"

    def fix(self, d: Discrepancy) -> str:
        used = _table(d.optimizer) or "the optimizer"
        follows = law_of(d.optimizer).gradient
        groups = "hidden weights lr, vectors lr * m" if follows else "hidden weights lr / m, vectors lr"
        return f"use the table for {used}: {groups} (muaudit tables), with m = width / base_width"

    def consequence(self, d: Discrepancy) -> str:
        if law_of(d.optimizer).gradient:
            return d.consequence or "hidden weights and vectors stop learning as width grows"
        return d.consequence or "hidden weights and vectors learn too fast in a wider model"


def _table(family: str) -> str:
    """What the column of TP5's tables is called that holds for a family; "" without one."""
    return families()[family].table if family in families() else ""
