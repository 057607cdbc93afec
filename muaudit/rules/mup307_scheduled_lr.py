"""A scheduler that loses the learning rates of the param groups.

## What it does
Where the file has a function scheduler(optimizer), steps the scheduler through warm-up, middle and
floor (nothing is trained) and reads the learning rate of every param group. Its exponent must stay
what it was when the optimizer was built.

## Why is this bad
The factors of µP live in the groups. A scheduler that writes one learning rate into all of them, or
stops all at one floor, undoes them after the optimizer was set up right: hidden weights get the
learning rate of the embedding, so that each step moves
activations more the wider the model is.

## Example
    torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=3e-4, total_steps=1000)
    torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=1000, eta_min=3e-5)
    for group in optimizer.param_groups:
        group["lr"] = lr_at(step)                         # group["lr_scale"] is never used

## Fix
    OneCycleLR(optimizer, max_lr=[group["lr"] for group in optimizer.param_groups], total_steps=1000)
    LambdaLR(optimizer, lambda step: max(0.1, 0.5 * (1 + math.cos(math.pi * step / 1000))))
    group["lr"] = lr_at(step) * group["lr_scale"]

## Evidence
Yang et al. 2022, Tensor Programs V (TP5), arXiv 2203.03466, Table 1: the learning-rate schedule
transfers as a factor on the learning rate of each tensor.

## When it is fine
A shared floor far below every learning rate of the schedule does little; that case is a warning.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from muaudit.findings.model import Severity
from muaudit.findings.power import number, power
from muaudit.rules.rule import Rule, any_role
from muaudit.rules.words import gap, needs

if TYPE_CHECKING:
    from muaudit.findings.discrepancy import Discrepancy

_WHEN = {"floor": " at its floor", "warm-up": " in warm-up", "lr_scale": ", which never uses the groups' lr_scale"}


class ScheduledLr(Rule):
    code = "MUP307"
    name = "scheduled-lr"
    summary = "a scheduler must keep the ratios between the learning rates of the param groups"
    keys = any_role("schedule")

    def severity_of(self, d: Discrepancy) -> Severity:
        return "warning" if d.detail in ("floor", "warm-up") else "error"

    def message(self, d: Discrepancy) -> str:
        whose = d.pattern or (f"{len(d.tensors)} tensors" if d.tensors else "some param groups")
        read = ""
        if len(d.values) == 3:
            step, narrow, wide = map(number, d.values)
            read = f" (after step {step}: {narrow} → {wide})"
        name = d.optimizer or "the scheduler"
        return f"{name}{_WHEN.get(d.detail, '')}: learning rate of {whose} ∝ {power(d.found)}, was {needs(d)}{read}"

    def fix(self, d: Discrepancy) -> str:
        if d.detail == "lr_scale":
            return "write group['lr'] = lr * group['lr_scale'], or put the factor into each group's lr"
        if d.detail == "floor":
            return "let the floor be a share of each group's own lr: LambdaLR with max(floor, ...) in place of eta_min"
        if "OneCycle" in d.optimizer:
            return "give one maximum per group: max_lr=[group['lr'] for group in optimizer.param_groups]"
        return "multiply each group's own initial lr by a factor of the step (LambdaLR), never write one lr into all"

    def consequence(self, d: Discrepancy) -> str:
        how = "too large" if gap(d) < 0 else "too small"
        when = {"floor": "at the end of training", "warm-up": "in warm-up"}.get(d.detail, "from then on")
        return d.consequence or f"{when} these learning rates are {how} by {power(abs(gap(d)))}"
