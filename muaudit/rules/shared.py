"""What all init rules have in common, and all learning-rate rules."""

from __future__ import annotations

from math import isinf
from typing import TYPE_CHECKING, ClassVar

from muaudit.findings.power import power
from muaudit.optimizers import law_of
from muaudit.rules.rule import Rule
from muaudit.rules.words import WHERE_M, by_m, constant_value, drifts, gap, like, measured, needs, scaled, subject

if TYPE_CHECKING:
    from muaudit.findings.discrepancy import Discrepancy


class InitRule(Rule):
    """A tensor whose init std, times its multiplier, has the wrong power of width."""

    produces: ClassVar[str] = "activations"

    def message(self, d: Discrepancy) -> str:
        return f"{subject(d)}: init std ∝ {power(d.found)}, needs {needs(d)}{measured(d)}"

    def fix(self, d: Discrepancy) -> str:
        if isinf(d.expected):
            return "initialise with zeros"
        if isinf(d.found):
            return "initialise with a std that is not zero"
        base = constant_value(d.values)
        if base is None:
            return f"{by_m(gap(d), 'its init std')}, {WHERE_M}"
        # Two digits: a measured 0.0201 was written as 0.02.
        return f"initialise with std = {scaled(f'{base:.2g}', gap(d), '(width / base_width)')}"

    def consequence(self, d: Discrepancy) -> str:
        return d.consequence or f"at initialization, {drifts(self.produces, -gap(d))}"


class LrRule(Rule):
    """A tensor whose learning rate, times its multiplier (squared under SGD), has the wrong power of width."""

    produces: ClassVar[str] = "activations"

    def matches(self, d: Discrepancy) -> bool:
        return super().matches(d) and not law_of(d.optimizer).spectral

    def message(self, d: Discrepancy) -> str:
        rate = f"{d.optimizer} learning rate".strip()
        return f"{subject(d)}: {rate} ∝ {power(d.found)}, needs {needs(d)}{measured(d)}"

    def fix(self, d: Discrepancy) -> str:
        if isinf(gap(d)):
            return "give it a learning rate that is not zero"
        group = f"{{'params': [...], 'lr': {scaled('lr', gap(d))}}}"
        return f"{by_m(gap(d), 'its learning rate')}, {WHERE_M}, in its own param group: {group}"

    def consequence(self, d: Discrepancy) -> str:
        if d.consequence:
            return d.consequence
        if gap(d) > 0:
            return f"it stops learning: what its updates contribute shrinks {like(-gap(d))}"
        return f"it learns too fast: each update moves {self.produces} by {power(-gap(d))}"
