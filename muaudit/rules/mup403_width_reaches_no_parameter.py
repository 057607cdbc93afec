"""The width argument changes the shape of no parameter, or of no hidden layer.

## What it does
Builds the model at two widths, compares every shape, and follows what each use of a parameter makes
grow. A verdict needs at least one hidden activation that grows: made by one use of a parameter,
and summed over by another. Where there is none, `check` and `convert` stop with exit code 2.

## Why is this bad
The argument is ignored, overridden by a config, or names something else than a width. Where only
the input grows (image channels) or only the output (classes, a vocabulary, entries of a codebook),
no layer reads what another made: there is nothing in it that a rule of µP could find wrong.

## Example
    muaudit check model.py --width n_layer=4,8
    muaudit check model.py --width num_classes=64,128

## Fix
    muaudit check model.py --width n_embd=64,128

Where the sizes of hidden layers are numbers in the code, make them an argument first.

## Evidence
By definition: width is what the hidden layers grow with (TP5, arXiv 2203.03466, section 2).

## When it is fine
Never.
"""

from __future__ import annotations

from muaudit.rules.rule import Rule


class WidthReachesNoParameter(Rule):
    code = "MUP403"
    name = "width-reaches-no-parameter"
    summary = "the width argument must make hidden layers grow"
    channel = "refusal"
