"""Sequences that are short in the proxy model.

## What it does
Notes a model with attention that is made for sequences of fewer than 128 tokens, as its own argument
(block_size, max_seq_len, ...) has it. The probes' sequences do not count: nothing is tuned on them.

## Why is this bad
The best standard deviation of the initialization transfers from narrow to wide models better where
sequences are longer, for reasons that are not known.

## Example
    GPTConfig(n_embd=128, block_size=32)

## Fix
    GPTConfig(n_embd=128, block_size=256)

## Evidence
Yang et al. 2022, Tensor Programs V (TP5), arXiv 2203.03466, Appendix D.6: use a larger sequence
length; Section 6.1: at least 128 in a proxy.

## When it is fine
When the initialization is not tuned, or the large model has sequences as short.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from muaudit.findings.power import number
from muaudit.rules.rule import Rule, any_role
from muaudit.rules.words import place

if TYPE_CHECKING:
    from muaudit.findings.discrepancy import Discrepancy


class ShortSequences(Rule):
    code = "MUP512"
    name = "short-sequences"
    severity = "advice"
    summary = "sequences of the model that hyperparameters are tuned on should hold at least 128 tokens"
    keys = any_role("short_sequences")

    def message(self, d: Discrepancy) -> str:
        length = f"{number(d.values[0])} tokens" if d.values else "few tokens"
        return f"attention{place(d)}: the model is made for sequences of {length}, at least 128 transfer better"

    def fix(self, d: Discrepancy) -> str:
        return "tune on longer sequences, or leave the initialization as it is"

    def consequence(self, d: Discrepancy) -> str:
        return d.consequence or "the best initialization of the proxy is not that of the large model"
