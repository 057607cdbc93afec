"""How large hidden weights start at a base width, in units of 1/sqrt(fan_in), and where a model's own constants stood.

A plan keeps what a model does at its base width, its constants too: a std of 0.02 is 0.16/sqrt(fan_in) at width 64 and
0.55/sqrt(fan_in) at width 768, and every width gets the one or the other.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn

from ..findings.power import number
from ..plan.scales import Scales
from ..targets.probe import Target
from ..thresholds import OTHER_INIT


@dataclass(frozen=True)
class BaseInit:
    """at_base: the median over hidden weights of std·sqrt(fan_in) at the width `base`; at_own: at the model's own
    default width `own`, None where it has none."""

    base: int
    at_base: float
    own: int | None
    at_own: float | None

    @property
    def advised(self) -> int | None:
        """A better base width: the model's own, where its constants make another init there."""
        if self.own is None or self.at_own is None or self.own == self.base:
            return None
        return self.own if abs(math.log(self.at_own / self.at_base)) > math.log(OTHER_INIT) else None

    def in_words(self) -> str:
        """One sentence, or two."""
        found = (
            f"hidden weights start at {number(self.at_base)}/sqrt(fan_in) at the base width {self.base}, and so at "
            "every width"
        )
        if self.advised is None:
            return found
        return (
            f"{found}; at {self.own}, the model's own width, its constants make that {number(self.at_own or 0.0)}/"
            f"sqrt(fan_in): --base-width {self.own} keeps them where they were chosen"
        )


def base_init(target: Target, plan: Scales) -> BaseInit | None:
    """From the model at its first two probes; None where no hidden weight's fan_in is known or its init is no power."""
    units = [_unit(plan, target.build(target.sizes(place), 0)) for place in (0, 1)]
    first, second = units
    narrow, wide = target.axes[0].probes[:2]
    if not first or not second:
        return None
    exponent = math.log(second / first) / math.log(wide / narrow)
    own = target.axes[0].default
    at_own = None if own is None else first * (own / narrow) ** exponent
    return BaseInit(plan.base_width, first * (plan.base_width / narrow) ** exponent, own, at_own)


def _unit(plan: Scales, model: nn.Module) -> float | None:
    """The median of std·sqrt(fan_in) over the hidden weights of modules whose fan_in is known."""
    hidden = [entry for entry in plan.entries if "hidden" in entry.roles]
    found = [
        float(weight.detach().double().std()) * math.sqrt(fan_in)
        for name, weight, fan_in in _weights(model)
        if any(entry.matches(name) for entry in hidden) and weight.numel() > 1
    ]
    positive = [each for each in found if each > 0]
    return statistics.median(positive) if positive else None


def _weights(model: nn.Module) -> Iterator[tuple[str, torch.Tensor, int]]:
    """(name, weight, fan_in) of linear layers, GPT-2's transposed ones, convolutions, and square matrices."""
    seen = set()
    for path, module in model.named_modules():
        weight = getattr(module, "weight", None)
        fan_in = _fan_in(module, weight)
        if fan_in and isinstance(weight, torch.Tensor):
            name = f"{path}.weight" if path else "weight"
            seen.add(name)
            yield name, weight, fan_in
    for name, parameter in model.named_parameters():
        if name not in seen and parameter.dim() == 2 and parameter.shape[0] == parameter.shape[1]:
            yield name, parameter, parameter.shape[0]


def _fan_in(module: nn.Module, weight: object) -> int | None:
    if not isinstance(weight, torch.Tensor) or weight.dim() < 2:
        return None
    if isinstance(module, (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)):
        return math.prod(weight.shape[1:])
    return weight.shape[0] if type(module).__name__ == "Conv1D" else None
