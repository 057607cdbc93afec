"""Readout weights whose initialization does not shrink like n^-1.

## What it does
Looks at every weight that maps a growing dim to a finite one (language-model head, classifier,
value head, router with a fixed expert count) and at the exponent of its init std times its
multiplier. It must be -1, less, or zero.

## Why is this bad
After training the readout is correlated with its input, so it sums fan_in terms that point the same
way: it must be 1/fan_in in size, not 1/sqrt(fan_in). A larger one makes the logits at large width
depend on initialization only.

## Example
    self.head = nn.Linear(width, vocab)                   # PyTorch's default: std ∝ n^-1/2

## Fix
    nn.init.zeros_(self.head.weight)                      # the simplest, and the best

or std ∝ 1/width, or a std that does not change with width together with logits = head(x) *
(base_width / width).

## Evidence
Yang et al. 2022, Tensor Programs V (TP5), arXiv 2203.03466, Table 3 (variance 1/fan_in²), Table 8
(variance 1 with multiplier 1/fan_in), Table 9 (variance 1/fan_in with multiplier 1/sqrt(fan_in));
Appendix D.2 for zero init.

## When it is fine
Under the profile `standard-full-align` (Everett et al. 2024, arXiv 2407.05872) and in Lingle 2024
(arXiv 2404.05728) a readout init of n^-1/2 transferred as well: --profile standard-full-align.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from muaudit.rules.shared import InitRule

if TYPE_CHECKING:
    from muaudit.findings.discrepancy import Discrepancy


class OutputInit(InitRule):
    code = "MUP103"
    name = "output-init"
    summary = "readout weights must be initialised with std × multiplier ∝ n^-1, smaller, or zero"
    keys = frozenset({("init", "output")})
    produces = "logits"

    def matches(self, d: Discrepancy) -> bool:
        return super().matches(d) and not d.tied
