"""The µP initialization was undone by a later one, or applied twice.

## What it does
Measures the init std of every tensor after the whole build. When hidden weights and readouts all have
the same std at every width although their learning rates follow µP, the µP initialization was
overwritten or never ran. When the std of every hidden weight falls like 1/fan_in instead of
1/sqrt(fan_in), it was applied twice, or a variance was taken for a std.

## Why is this bad
Undone, hidden activations and logits grow with width at initialization. Twice, the signal dies out:
each layer shrinks it by another n^-1/2.

## Example
    scale_init(model)                                     # the µP hook
    model.apply(model._init_weights)                      # draws everything anew

## Fix
    model.apply(model._init_weights)
    scale_init(model)                                     # last, and once

## Evidence
Yang et al. 2022, Tensor Programs V (TP5), arXiv 2203.03466, Table 3: init variance 1/fan_in for
hidden weights, 1/fan_in² for readouts.

## When it is fine
Never: where a multiplier makes up for it, nothing is reported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from muaudit.findings.power import power
from muaudit.rules.rule import Rule, any_role
from muaudit.rules.words import needs

if TYPE_CHECKING:
    from muaudit.findings.discrepancy import Discrepancy


class InitUndone(Rule):
    code = "MUP108"
    name = "init-undone"
    summary = "the µP initialization must run last, and once"
    keys = any_role("init_hook")

    def message(self, d: Discrepancy) -> str:
        sizes = f"init std ∝ {power(d.found)}, needs {needs(d)}"
        if d.detail == "twice":
            return f"all hidden weights (×{len(d.tensors)}): {sizes}: applied twice, or a variance taken as std"
        return f"all hidden and readout weights (×{len(d.tensors)}): {sizes}: the µP init was undone, or never ran"

    def fix(self, d: Discrepancy) -> str:
        if d.detail == "twice":
            return "apply the width factor of the init once: std = c / sqrt(fan_in), variance = c² / fan_in"
        return "run the µP initialization after every other one: model.apply(init) first, then the µP hook"

    def consequence(self, d: Discrepancy) -> str:
        if d.detail == "twice":
            return d.consequence or "at initialization, activations shrink like n^-1/2 with every layer"
        return d.consequence or "at initialization, activations grow like n^1/2"
