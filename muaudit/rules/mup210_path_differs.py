"""A scale that one path through the model has and another lacks.

## What it does
Runs the model on the paths it has besides the one that is audited, without training: in eval mode,
with and without its optional arguments (targets above all), with the other value of a flag of the
forward that says what it is run for (inference), and with every other value of an attribute that
chooses an implementation (flash, use_sdpa, _attn_implementation). Each path is held to
the same demands; what is wrong on such a path only is reported under this rule. Dropout, or logits of
the last position alone, are no difference.

## Why is this bad
The model that is trained is not the model that is evaluated, or hyperparameters that transfer with
one attention kernel do not with the other. The loss curve shows none of it.

## Example
    logits = self.head(x) / m if self.training else self.head(x)
    if self.flash:
        y = F.scaled_dot_product_attention(q, k, v, scale=base_d_head**0.5 / d_head)
    else:
        y = F.softmax(q @ k.transpose(-2, -1) / math.sqrt(d_head), dim=-1) @ v

## Fix
Compute the scale once, before the paths part, and use it on each of them.

## Evidence
Yang et al. 2022, Tensor Programs V (TP5), arXiv 2203.03466, Definition 4.1 and Table 8 hold for the
function that the network computes, whichever code computes it.

## When it is fine
When the path is never run. Attributes that switch the parametrization itself (use_mup) are not tried.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from muaudit.findings.model import Severity
from muaudit.rules.rule import ROLES, Rule, the_one_of

if TYPE_CHECKING:
    from muaudit.findings.discrepancy import Discrepancy


class PathDiffers(Rule):
    code = "MUP210"
    name = "path-differs"
    summary = "every path through the model must carry the same scales"
    of_paths = True
    keys = frozenset((aspect, role) for aspect in ("multiplier", "attention", "contraction", "join") for role in ROLES)

    def __init__(self, inner: Sequence[Rule]) -> None:
        """inner: the rules that say what is wrong on a path, whichever path it is."""
        self._inner = tuple(inner)

    def matches(self, d: Discrepancy) -> bool:
        return bool(d.path)

    def severity_of(self, d: Discrepancy) -> Severity:
        inner, rule = self._of_one_path(d)
        return rule.severity_of(inner)

    def message(self, d: Discrepancy) -> str:
        inner, rule = self._of_one_path(d)
        return f"only {d.path}: {rule.message(inner)}"

    def fix(self, d: Discrepancy) -> str:
        inner, rule = self._of_one_path(d)
        return f"{rule.fix(inner)} on this path too"

    def consequence(self, d: Discrepancy) -> str:
        inner, rule = self._of_one_path(d)
        return f"{d.path}, {rule.consequence(inner)}"

    def _of_one_path(self, d: Discrepancy) -> tuple[Discrepancy, Rule]:
        """The same mistake as if this were the only path, and the rule that words it."""
        inner = replace(d, path="")
        return inner, the_one_of(self._inner, inner)
