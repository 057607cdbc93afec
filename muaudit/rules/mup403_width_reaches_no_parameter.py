"""The width argument changes the shape of no parameter.

## What it does
Builds the model at two widths and compares every shape. When all are equal there is nothing to
audit, and `check` stops with exit code 2.

## Why is this bad
Nothing grows: the argument is ignored, overridden by a config, or names something else than width.

## Example
    muaudit check model.py --width n_layer=4,8

## Fix
    muaudit check model.py --width n_embd=64,128

## Evidence
By definition: width is what the dims of parameters grow with.

## When it is fine
Never.
"""

from __future__ import annotations

from muaudit.rules.base import Rule


class WidthReachesNoParameter(Rule):
    code = "MUP403"
    name = "width-reaches-no-parameter"
    summary = "the width argument must change the shape of some parameter"
    channel = "refusal"
