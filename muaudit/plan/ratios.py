"""What the groups of an optimizer hold, against what a plan says: the settings of parameters relative to each other.

A plan says by what a setting is multiplied, not what it is: `lr / scale` is the learning rate at the base width, one
number for all parameters at every step of a schedule. Where a user's own groups differ at the base width already
(layer-wise rates), those groups say what each parameter's number is a multiple of.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from ..findings.power import number
from ..thresholds import NO_RATE, SAME_SETTING
from .apply import match
from .groups import listed
from .patterns import plain_name
from .scales import Entry, Scales

SETTINGS = ("lr", "weight_decay", "eps")

Held = Sequence[Mapping[str, float]]
"""The settings of every group that are numbers, in the order of the groups."""


@dataclass(frozen=True)
class HeldSetting:
    """One setting of parameters of one group. Those of the same `beside` are multiples of one number, by `factor`."""

    name: str
    group: int
    beside: str
    factor: float
    scale: float
    parameters: tuple[str, ...]


@dataclass(frozen=True)
class Deviation:
    """A setting that is not what the plan makes of the number beside it."""

    setting: HeldSetting
    found: float
    expected: float

    def in_words(self) -> str:
        """`lr 0.01, expected 0.0025 (× 0.25)`."""
        of = f" (× {number(self.setting.scale)})" if self.setting.scale != 1.0 else ""
        return f"{self.setting.name} {number(self.found)}, expected {number(self.expected)}{of}"


def settings_of(
    plan: Scales, model: nn.Module, groups: Sequence[Mapping[str, Any]], own: Iterable[Mapping[str, Any]] | None
) -> list[HeldSetting]:
    """What the plan says about every setting of `groups`, an optimizer's.

    own: the user's groups with the settings of the base width, where these differ.

    Raises:
        UserError: the model's names or shapes are not the plan's.
    """
    names = {id(parameter): plain_name(name) for name, parameter in model.named_parameters()}
    entries = {id(parameter): entry for parameter, entry in match(plan, model)}
    base = {id(parameter): group for group in own or () for parameter in listed(group["params"])}
    members: dict[tuple[str, int, str, float, float], list[str]] = {}
    for index, group in enumerate(groups):
        for parameter in group["params"]:
            if id(parameter) in entries:
                for key in _keys(plan, entries[id(parameter)], index, base.get(id(parameter), {})):
                    members.setdefault(key, []).append(names[id(parameter)])
    return [HeldSetting(*key, tuple(found)) for key, found in members.items()]


def _keys(
    plan: Scales, entry: Entry, index: int, base: Mapping[str, Any]
) -> Iterable[tuple[str, int, str, float, float]]:
    scales = dict(zip(SETTINGS, plan.scales_of(entry)[1:], strict=True))
    for name in SETTINGS:
        scale, given = scales[name], base.get(name)
        # what a user's group leaves to the optimizer's default is another number than what groups give
        beside = entry.optimizer + (" as given" if given is not None else "")
        factor = scale * (1.0 if given is None else float(given))
        none = name == "weight_decay" and not entry.decays and given is None
        yield name, index, beside, 0.0 if none else factor, scale


def held(groups: Iterable[Mapping[str, Any]]) -> list[dict[str, float]]:
    """The settings that are numbers (or tensors of one), of every group."""
    return [{name: float(group[name]) for name in SETTINGS if _is_number(group.get(name))} for group in groups]


def _is_number(value: Any) -> bool:
    if isinstance(value, (int, float)):
        return not isinstance(value, bool)
    return getattr(value, "numel", lambda: 0)() == 1


def deviations(settings: Iterable[HeldSetting], groups: Held, peak: float = 0.0) -> list[Deviation]:
    """The settings that are not the plan's multiple of what the others of their kind are multiples of.

    peak: the largest learning rate of the schedule; rates that are none beside it are not compared.
    """
    kinds: dict[tuple[str, str], list[tuple[HeldSetting, float]]] = {}
    for setting in settings:
        value = groups[setting.group].get(setting.name)
        # no decay is the user's to say, group by group; a rate is not
        said = value == 0.0 and setting.name != "lr"
        if value is not None and not said:
            kinds.setdefault((setting.name, setting.beside), []).append((setting, value))
    out: list[Deviation] = []
    for (name, _), found in kinds.items():
        if name != "lr" or max(value for _, value in found) > NO_RATE * peak:
            out += _deviations(found)
    return out


def _deviations(found: Sequence[tuple[HeldSetting, float]]) -> list[Deviation]:
    unit = _unit(found)
    return [
        Deviation(setting, value, unit * setting.factor)
        for setting, value in found
        if not _same(value, unit * setting.factor)
    ]


def _unit(found: Sequence[tuple[HeldSetting, float]]) -> float:
    """What the settings are multiples of: that of most parameters whose scale is 1, else of most parameters."""
    units = [value / setting.factor for setting, value in found if setting.factor]
    if not units:
        return 0.0

    def agreeing(unit: float) -> tuple[int, int]:
        alike = [setting for setting, value in found if _same(value, unit * setting.factor)]
        plain = sum(len(setting.parameters) for setting in alike if setting.scale == 1.0)
        return plain, sum(len(setting.parameters) for setting in alike)

    return max(dict.fromkeys(units), key=agreeing)


def _same(value: float, expected: float) -> bool:
    return abs(value - expected) <= SAME_SETTING * abs(expected)
