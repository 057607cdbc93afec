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

from typing import TYPE_CHECKING

from muaudit.rules.rule import Rule, any_role

if TYPE_CHECKING:
    from muaudit.findings.discrepancy import Discrepancy

_ENDS = 2  # of a range of rows


class ZeroInitQuery(Rule):
    code = "MUP509"
    name = "zero-init-query"
    severity = "advice"
    summary = "attention transfers best when its queries start at zero"
    keys = any_role("zero_query")

    def message(self, d: Discrepancy) -> str:
        rows = f", outputs {d.values[0]:.0f} to {d.values[1]:.0f}" if len(d.values) == _ENDS else ""
        return f"weights of queries {d.pattern}{rows}: do not start at zero"

    def fix(self, d: Discrepancy) -> str:
        rows = f"[{d.values[0]:.0f}:{d.values[1]:.0f}]" if len(d.values) == _ENDS else ""
        return f"nn.init.zeros_({d.tensors[0].rpartition('.')[2]}{rows})"

    def consequence(self, d: Discrepancy) -> str:
        return d.consequence or "at small width attention starts with noise that the large model does not have"
