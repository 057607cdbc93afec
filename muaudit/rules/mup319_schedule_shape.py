"""A schedule that some param groups follow and others do not.

## What it does
Where the file has a function scheduler(optimizer), steps it from warm-up to floor, divides the learning rates of
every group by the largest that the group gets, and compares: a schedule is one curve for all groups.

## Why is this bad
A loop that writes `optimizer.param_groups[0]["lr"]`, or a second optimizer without a scheduler, leaves the other
groups at one rate: they train at their peak from the first step, when gradients are largest, and never come down.
The exponents of width are all right, and still what was tuned is not what is trained.

## Example
    optimizer.param_groups[0]["lr"] = lr_at(step)         # the other groups have no warm-up
    scheduler = CosineAnnealingLR(adam, T_max=1000)       # and muon has none

## Fix
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] * shape_at(step)
    schedulers = [CosineAnnealingLR(each, T_max=1000) for each in (adam, muon)]

## Evidence
Yang et al. 2022, Tensor Programs V (TP5), arXiv 2203.03466, Table 1: the schedule transfers as one curve, times the
learning rate of each tensor.

## When it is fine
When groups are meant to have schedules of their own, as layers that are frozen at first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from muaudit.findings.power import number
from muaudit.rules.rule import Rule, any_role

if TYPE_CHECKING:
    from muaudit.findings.discrepancy import Discrepancy


class ScheduleShape(Rule):
    code = "MUP319"
    name = "schedule-shape"
    severity = "warning"
    summary = "a schedule must be one curve for all param groups"
    keys = any_role("schedule_shape")

    def message(self, d: Discrepancy) -> str:
        whose = d.pattern or f"{len(d.tensors)} tensors"
        how = "never moves the learning rate of" if d.detail == "still" else "has another shape for"
        read = ""
        if len(d.values) == 3:
            step, here, there = map(number, d.values)
            read = f" (after step {step} at {here} of its largest, the others at {there})"
        return f"{d.optimizer or 'the scheduler'} {how} {whose}{read}"

    def fix(self, d: Discrepancy) -> str:
        return "multiply the lr of every group of every optimizer by one factor of the step"

    def consequence(self, d: Discrepancy) -> str:
        return d.consequence or "these parameters are trained by another schedule than the one that was tuned"
