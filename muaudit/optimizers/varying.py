"""Settings of an optimizer, other than those that µP scales, that are not the same at both widths."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .group_factors import USUAL, Factors
from .holders import Holder
from .running import DECAYS

_SCALED = ("lr", "eps", *DECAYS, *USUAL)
_AVERAGES = ("beta", "momentum", "rho", "alpha")  # how much of a running average is kept: what is left of 1 scales


@dataclass(frozen=True)
class Setting:
    """name: `momentum`, `betas[1]`. values: at both widths. exponent: of the value, of 1 - value for averages."""

    name: str
    values: tuple[float, float]
    exponent: float


def varying(narrow: Holder, wide: Holder, factors: Factors, unit: float) -> tuple[Setting, ...]:
    """Of what the optimizer's class takes as a setting, in the group of one parameter. unit: log of the width ratio."""
    own = getattr(narrow.optimizer, "defaults", {})
    keys = [key for key in own if key not in (*_SCALED, *factors.keys)]
    here, there = dict(_numbers(narrow.group, keys)), dict(_numbers(wide.group, keys))
    return tuple(
        Setting(name, (value, there[name]), _exponent(name, value, there[name], unit))
        for name, value in here.items()
        if name in there and not math.isclose(value, there[name], rel_tol=1e-6)
    )


def _numbers(group: Mapping[str, Any], keys: list[str]) -> Iterator[tuple[str, float]]:
    for key in keys:
        value = group.get(key)
        if isinstance(value, (tuple, list)):
            yield from ((f"{key}[{i}]", float(each)) for i, each in enumerate(value) if _is_number(each))
        elif _is_number(value):
            yield key, float(value)  # type: ignore[arg-type]


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _exponent(name: str, narrow: float, wide: float, unit: float) -> float:
    if name.startswith(_AVERAGES) and 0 < narrow < 1 and 0 < wide < 1:
        narrow, wide = 1 - narrow, 1 - wide
    return (
        round(math.log(abs(wide / narrow)) / unit, 3)
        if narrow and wide
        else math.copysign(math.inf, abs(wide) - abs(narrow))
    )
