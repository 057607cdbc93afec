"""Queries that do not start at zero, where heads grow with the width.

## What it does
Notes the weight that makes the queries of an attention whose d_head grows, where neither it nor the weight of the keys
starts at zero.

## Why is this bad
It is not wrong. At initialization a logit q·k/d_head is random, of size 1/sqrt(d_head): nothing in a wide model, and
much in a narrow one. With queries of zero all widths start with the same attention, an even one.

## Example
    nn.init.normal_(self.q_proj.weight, std=dim**-0.5)

## Fix
    nn.init.zeros_(self.q_proj.weight)

## Evidence
Yang et al. 2022, Tensor Programs V (TP5), arXiv 2203.03466, Appendix D.2: zero initialization for output layers and
query layers. Lingle 2024, arXiv 2404.05728: transfer was kept with it.

## When it is fine
Where the size of a head is the same at every width: then so is its noise.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from muaudit.findings.power import fraction
from muaudit.rules.rule import Rule, any_role

if TYPE_CHECKING:
    from muaudit.findings.discrepancy import Discrepancy

_RANGE = 3  # from, to, and along which dim
_SMALLEST_SHARE = 64


class ZeroInitQuery(Rule):
    code = "MUP509"
    name = "zero-init-query"
    severity = "advice"
    summary = "attention transfers best when its queries start at zero"
    keys = any_role("zero_query")

    def message(self, d: Discrepancy) -> str:
        some = len(d.values) == _RANGE
        rows = f", outputs {fraction(d.values[0])} to {fraction(d.values[1])} of all" if some else ""
        return f"weights of queries {d.pattern}{rows}: do not start at zero"

    def fix(self, d: Discrepancy) -> str:
        name = d.tensors[0].rpartition(".")[2]
        if len(d.values) != _RANGE:
            return f"nn.init.zeros_({name})"
        first, last = (_entry(share) for share in d.values[:2])
        before = ":, " * int(d.values[2])
        return f"n = {name}.shape[{d.values[2]:.0f}]; nn.init.zeros_({name}[{before}{first}:{last}])"

    def consequence(self, d: Discrepancy) -> str:
        return d.consequence or "at small width attention starts with noise that the large model does not have"


def _entry(share: float) -> str:
    """`n // 3`, `2 * n // 3`; nothing at either end."""
    found = Fraction(share).limit_denominator(_SMALLEST_SHARE)
    if found in (0, 1):
        return ""
    return ("" if found.numerator == 1 else f"{found.numerator} * ") + f"n // {found.denominator}"
