"""A tied embedding whose use as a readout lacks its multiplier.

## What it does
Follows a tensor that is both embedding (input) and readout (output), each use judged by its own
role. The embedding asks for a constant init and learning rate, so only a multiplier on the logits
can satisfy the readout.

## Why is this bad
Logits grow with width, at initialization like n^1/2 and in training like n: the readout use of a
tied embedding is an output weight with everything that belongs to it.

## Example
    self.head.weight = self.tok_emb.weight
    logits = self.head(x)

## Fix
    logits = self.head(x) * (base_width / width)

and leave init and learning rate of the shared tensor alone: they are the embedding's.

## Evidence
Yang et al. 2022, Tensor Programs V (TP5), arXiv 2203.03466, Table 8 and Appendix B.1: "Tables 8 and
9 allow for" tied embeddings, Table 3 does not.

## When it is fine
Never, when the hidden width grows and the vocabulary does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from muaudit.findings.power import power
from muaudit.optimizers import law_of
from muaudit.rules.mup202_readout_multiplier_missing import readout_doubled
from muaudit.rules.rule import Rule
from muaudit.rules.words import drifts, gap, needs, scaled, subject

if TYPE_CHECKING:
    from muaudit.findings.discrepancy import Discrepancy

_WHAT = {"multiplier": "multiplier", "init": "init std", "lr": "learning rate"}


class TiedReadout(Rule):
    code = "MUP402"
    name = "tied-readout"
    summary = "the readout use of a tied embedding must be scaled by a multiplier on the logits"
    keys = frozenset({("multiplier", "output"), ("init", "output"), ("lr", "output")})

    def matches(self, d: Discrepancy) -> bool:
        if not d.tied or (d.aspect == "lr" and law_of(d.optimizer).spectral):
            return False
        return super().matches(d) and not (d.aspect != "init" and readout_doubled(d))

    def message(self, d: Discrepancy) -> str:
        return f"{subject(d)}: as a readout its {_WHAT[d.aspect]} ∝ {power(d.found)}, needs {needs(d)}"

    def fix(self, d: Discrepancy) -> str:
        if gap(d) == -1:
            return "multiply the logits by base_width / width: logits = head(x) * (base_width / width)"
        return f"logits = {scaled('head(x)', gap(d), '(width / base_width)')}; leave the shared tensor's init and lr"

    def consequence(self, d: Discrepancy) -> str:
        return d.consequence or drifts("logits", -gap(d))
