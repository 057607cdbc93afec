"""Floating-point operations of a run, counted by torch on one step at every width."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import torch
from torch.utils.flop_counter import FlopCounterMode

from ..training.beforehand import sizes_at
from ..training.loop import moved
from .over import STEPS
from .trainings import TrainingSettings, Unit
from .variant import SweepVariant


def counter(variants: Sequence[SweepVariant], settings: TrainingSettings) -> Callable[[Unit], float]:
    """`(unit)` → operations of all its runs: forward and backward of matrix products, convolutions and attention."""
    by_name = {variant.name: variant for variant in variants}

    @lru_cache(maxsize=256)
    def of_step(name: str, width: int) -> float:
        variant = by_name[name]
        model, _ = variant.make(width, {}, 0)
        data = variant.task.batches(sizes_at(variant.target, width), 0)
        inputs = moved(next(data), torch.device("cpu"), torch.float32)
        with FlopCounterMode(display=False) as counted:
            variant.task.loss(model(*inputs.args, **inputs.kwargs), inputs).backward()  # type: ignore[no-untyped-call]
        return float(counted.get_total_flops())

    def of_unit(unit: Unit) -> float:
        first = unit.jobs[0]
        steps = first.width if by_name[first.variant].target.axes[0].name == STEPS else settings.steps
        return len(unit.jobs) * steps * of_step(first.variant, first.width)

    return of_unit
