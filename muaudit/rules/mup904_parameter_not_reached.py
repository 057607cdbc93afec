"""A parameter that the forward pass never uses, or that gets no gradient.

## What it does
Lists parameters that are in the model but in no operation of the recorded forward pass, or that the
loss does not reach; kinds of modules that the whole model has and the small one that is audited has not; and
parameters that nothing gives values (`torch.empty`), of which the initialization alone is not judged.

## Why is this bad
Its role is decided by its use; without one there is nothing to judge it by. It may also be a path
that only runs in another mode.

## Example
    self.aux_head = nn.Linear(width, 10)                  # used in training only

## Fix
Give an input or a mode that uses it (a `batch` function or --input), or remove it. `--strict` makes
it an error.

## Evidence
None is needed.

## When it is fine
When the parameter is not in use at all.
"""

from __future__ import annotations

from muaudit.rules.rule import Rule


class ParameterNotReached(Rule):
    code = "MUP904"
    name = "parameter-not-reached"
    axis = ""
    severity = "warning"
    summary = "a parameter is never used in the recorded forward pass, so it has no role"
    channel = "unanalysed"
