"""Factors on a learning rate that a param group holds beside it (`lr_scale`, `lr_mult`, a key of one's own).

Whether one counts is found out, not read off its name: the optimizer's step is run with another value (`Steps`), a
scheduler is stepped and the rates that it writes are read. Where neither multiplies by a factor that goes by a usual
name, and no scheduler was given, the training loop may: the rates are then judged as if it did, and that is said.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .holders import Holder
from .running import DECAYS
from .steps import Steps

Pairs = Mapping[str, tuple[Holder, Holder]]

USUAL = ("lr_scale", "lr_mult")
_OTHERS = ("lr", "initial_lr", "eps", "momentum", *DECAYS)


@dataclass(frozen=True)
class Factors:
    """On the group's learning rate at both widths. used: by the optimizer's step. assumed: by nothing that was seen.

    key: of the group, that holds what is assumed. keys: those that the step multiplies by. unread: keys of which
    nothing is known to read them, with their values.
    """

    used: tuple[float, float] = (1.0, 1.0)
    assumed: tuple[float, float] = (1.0, 1.0)
    key: str = ""
    keys: tuple[str, ...] = ()
    unread: tuple[tuple[str, tuple[float, float]], ...] = ()

    @property
    def both(self) -> tuple[float, float]:
        """used · assumed."""
        return self.used[0] * self.assumed[0], self.used[1] * self.assumed[1]


NO_FACTORS = Factors()


def factors(pairs: Pairs, steps: Mapping[int, Steps]) -> dict[str, Factors]:
    """By parameter; `steps` by the id of the narrow optimizer."""
    out: dict[str, Factors] = {}
    for part in {id(narrow.optimizer): narrow.optimizer for narrow, _ in pairs.values()}:
        own = {name: pair for name, pair in pairs.items() if id(pair[0].optimizer) == part}
        keys = _differing(own)
        counted = {name: _used(pair, keys, steps[part]) for name, pair in own.items()}
        settings = getattr(own[next(iter(own))][0].optimizer, "defaults", {}) if steps[part].knows_no_other_keys else {}
        unread = [key for key in keys if key not in settings and not any(key in each for each in counted.values())]
        unused = [key for key in USUAL if key in keys and not any(key in each for each in counted.values())]
        key = next((key for key in unused if not _held_by_lr(own, key)), "")
        for name, pair in own.items():
            used = _product(pair, counted[name])
            assumed = _product(pair, {key: 1.0}) if key else (1.0, 1.0)
            values = tuple((other, _product(pair, {other: 1.0})) for other in unread if other != key)
            out[name] = Factors(used, assumed, key, tuple(counted[name]), values)
    return out


def _differing(pairs: Pairs) -> list[str]:
    """Keys with a number that is not the same in all groups at both widths."""
    groups = [each.group for pair in pairs.values() for each in pair]
    keys = dict.fromkeys(key for group in groups for key in group if key not in _OTHERS)
    numbers = {key: {group.get(key, 1.0) for group in groups if _is_number(group.get(key, 1.0))} for key in keys}
    return [key for key, values in numbers.items() if len(values) > 1]


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _used(pair: tuple[Holder, Holder], keys: Iterable[str], steps: Steps) -> dict[str, float]:
    """The keys that the optimizer's step follows, with their powers."""
    narrow, wide = pair
    shapes = tuple(narrow.parameter.shape), tuple(wide.parameter.shape)
    here = [key for key in keys if _is_number(narrow.group.get(key)) and _is_number(wide.group.get(key))]
    found = {key: steps.power_of(narrow.number, shapes, key) for key in here}
    return {key: power for key, power in found.items() if power}


def _product(pair: tuple[Holder, Holder], powers: Mapping[str, float]) -> tuple[float, float]:
    sizes = [1.0, 1.0]
    for key, power in powers.items():
        for probe, each in enumerate(pair):
            value = float(each.group.get(key, 1.0))
            sizes[probe] *= value**power if value else 0.0
    return sizes[0], sizes[1]


def _held_by_lr(pairs: Pairs, key: str) -> bool:
    """Whether `lr` holds a factor already: lr / factor is then the same in all groups.

    At the base width all factors are 1 and that says nothing: a probe tells where they differ. Where they differ at
    neither, lr / factor is then the same at both widths.
    """
    probes = [[(pair[probe].lr, _number(pair[probe].group.get(key))) for pair in pairs.values()] for probe in (0, 1)]
    telling = [rates for rates in probes if len({factor for _, factor in rates}) > 1]
    if telling:
        return all(_even([lr / factor for lr, factor in rates if factor]) for rates in telling)
    return all(_even([lr / factor for lr, factor in each if factor]) for each in zip(*probes, strict=True))


def _number(value: Any) -> float:
    return float(value) if _is_number(value) else 1.0


def _even(values: Sequence[float]) -> bool:
    return not values or max(values) - min(values) <= 1e-6 * max(values)
