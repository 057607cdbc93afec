"""Arguments of a model that set an initialization or a learning rate, as their names say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from muaudit.targets import argnames

_INIT = re.compile(
    r"(.*_)?(init|initiali[sz]er|initiali[sz]ation)_(std|stddev|scale|range|factor|gain|value|values|sigma|cutoff_factor)"
    r"|(.*_)?std_init|(.*_)?(init|weight|weights)_(std|stddev)|(.*_)?gain_init"
)
_RATE = re.compile(r"(.*_)?(lr|learning_rate|weight_decay|wd)(_(scale|mult|multiplier|factor|coef|coeff|ratio|.*))?")
_OF_A_SCHEDULE = re.compile(r"(.*_)?(min|max|warmup|warm_up|final|end|start|decay_steps|schedule|floor|peak)(_.*)?")


def tuned(values: Mapping[str, Any]) -> dict[str, float]:
    """The settings among an object's fields or arguments, by name: numbers above 0."""
    return {
        name: value
        for name, value in values.items()
        if type(value) is float and value > 0 and (sets_init(name) or sets_rate(name))
    }


def longest(values: Mapping[str, Any]) -> int | None:
    """The longest sequence that arguments allow, by those that are called like one; None where none is."""
    short = {name: name.rpartition(".")[2] for name in values}
    named = [name for name, last in short.items() if len(last) > 1 and argnames.rank(last, argnames.LENGTH) is not None]
    return max((values[name] for name in named if type(values[name]) is int), default=None)


def sets_init(name: str) -> bool:
    """Whether an argument is called like the size of an initialization."""
    return _INIT.fullmatch(name.rpartition(".")[2]) is not None


def sets_rate(name: str) -> bool:
    """Whether an argument is called like a learning rate, a factor of one, or a weight decay, but of no schedule."""
    last = name.rpartition(".")[2]
    return _RATE.fullmatch(last) is not None and _OF_A_SCHEDULE.fullmatch(last) is None
