"""An optimizer whose update rule the audit does not know.

## What it does
Knows torch's optimizers. Any other class is measured: a copy of the optimizer takes a few steps with
parameters and gradients of known sizes and shapes. Where that shows no law (steps that depend on how
large the gradient is or on its rank, on curvature, steps that cannot be taken alone) and the class is not known
by its name either, its learning rates are listed as not judged, with the reason.

## Why is this bad
Which power of width a learning rate needs depends on how the optimizer sizes its update: 1/n under
Adam, 1 under SGD.

## Example
    optimizer = MyOptimizer(model.parameters(), lr=1e-3)

## Fix
Say which one it behaves like: muaudit check model.py --optimizer adamw. `--strict` makes it an
error.

## Evidence
Yang et al. 2022, Tensor Programs V (TP5), arXiv 2203.03466, Appendix B.3: optimizer variants.

## When it is fine
When you only ask about initialization and multipliers: those are judged under any optimizer.
"""

from __future__ import annotations

from muaudit.rules.rule import Rule


class OptimizerNotKnown(Rule):
    code = "MUP903"
    name = "optimizer-not-known"
    axis = ""
    severity = "warning"
    summary = "the optimizer's update rule is not known, so learning rates were not judged"
    channel = "unanalysed"
