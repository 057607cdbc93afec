"""An operation that the audit has no rule for.

## What it does
Lists every operation of the forward pass whose effect on exponents is not known, and with it what
could not be judged because of it.

## Why is this bad
It need not be: but what is not analysed is not known to be right.

## Example
    y = my_cuda_extension(x, weight)

## Fix
Replace it by the same computation in plain PyTorch for the audit, or report the operation.
`--strict` makes it an error.

## Evidence
None is needed.

## When it is fine
When nothing that depends on width goes through it.
"""

from __future__ import annotations

from muaudit.rules.rule import Rule


class OpNotUnderstood(Rule):
    code = "MUP901"
    name = "op-not-understood"
    axis = ""
    severity = "warning"
    summary = "an operation has no rule, so what depends on it was not judged"
    channel = "unanalysed"
