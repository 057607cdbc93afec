"""A parameter that is read, but that nothing trains.

## What it does
Lists parameters that take part in the recorded forward pass while the real backward left them without
a gradient, at both widths: what is computed from them is dropped, detached, or only chooses (an index,
a mask, the top k).

## Why is this bad
Such a parameter is never trained. If it was meant to learn, nothing tells: the loss goes down without
it. No exponent of its own matters, so neither its init nor its learning rate is judged.

## Example
    pooled = self.pooler(h)                               # and nothing reads it
    return self.head(h)

## Fix
Use what is computed from it, or freeze it (`requires_grad_(False)`) or leave it out.

## Evidence
None is needed: its gradient is None.

## When it is fine
When it is trained by other means (a running average, a loss of its own elsewhere), or is there for
another task than this one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from muaudit.rules.rule import Rule, any_role
from muaudit.rules.words import subject

if TYPE_CHECKING:
    from muaudit.findings.discrepancy import Discrepancy


class NoGradient(Rule):
    code = "MUP405"
    name = "no-gradient"
    severity = "advice"
    summary = "a parameter that is trained should get a gradient"
    keys = any_role("no_gradient")

    def message(self, d: Discrepancy) -> str:
        return f"{subject(d)}: read in the forward pass, but no gradient reaches it, so nothing of it is judged"

    def fix(self, d: Discrepancy) -> str:
        return "use what is computed from it, freeze it with requires_grad_(False), or leave it out"

    def consequence(self, d: Discrepancy) -> str:
        return d.consequence or "this loss never trains it"
