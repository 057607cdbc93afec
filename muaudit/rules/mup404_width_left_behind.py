"""A size inside the model that stays while the width grows.

## What it does
Looks for sizes between two weights (not of inputs, outputs or positions) that are the same at both
probes and a whole multiple of the width at one of them: d_ff = 256 with d_model 64 and 128.

## Why is this bad
Such a size was meant to grow along: a feed-forward width, the key and value heads. Held fixed, it
becomes a finite dim, its weights become input and readout weights, and the large model is another
model than the proxy, with a bottleneck.

## Example
    GPTConfig(n_embd=width, d_ff=256)

## Fix
    GPTConfig(n_embd=width, d_ff=4 * width)

or probe both: --width n_embd=64,128 --width d_ff=256,512

## Evidence
Yang et al. 2022, Tensor Programs V (TP5), arXiv 2203.03466, Appendix B: the roles of tensors follow
from which dims grow.

## When it is fine
A bottleneck of fixed size on purpose: low-rank adapters, a latent code, one key and value head. Where
init and learning rates are right for a size that stays, nothing is said; where more of them would be for
one that grows, it is an error. Any other mistake beside such a size is told by its own rule.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from muaudit.findings.model import Severity
from muaudit.findings.power import number
from muaudit.rules.rule import Rule, any_role
from muaudit.rules.words import subject

if TYPE_CHECKING:
    from muaudit.findings.discrepancy import Discrepancy


class WidthLeftBehind(Rule):
    code = "MUP404"
    name = "width-left-behind"
    severity = "warning"
    summary = "every width inside the model should grow along, or be fixed on purpose"
    keys = any_role("left_behind")

    def severity_of(self, d: Discrepancy) -> Severity:
        return "error" if d.detail == "wrong" else self.severity

    def message(self, d: Discrepancy) -> str:
        if len(d.values) != 3 or not d.values[1]:
            return f"{subject(d)}: a size inside the model does not grow with the width"
        size, width, wide = (number(value) for value in d.values)
        times = number(d.values[0] / d.values[1])
        multiple = "the width" if times == "1" else f"{times} × the width"
        return f"{subject(d)}: a size inside the model stays {size}, {multiple} at {width}, when that grows to {wide}"

    def fix(self, d: Discrepancy) -> str:
        return "let it grow with the width, or name it as another width: --width NAME=64,128 for each"

    def consequence(self, d: Discrepancy) -> str:
        return d.consequence or "the large model gets a bottleneck, and its roles are judged as with a fixed size"
