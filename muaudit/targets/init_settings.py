"""Arguments of a model that set the size of an initialization, as their names say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_INIT = re.compile(
    r"(.*_)?(init|initiali[sz]er|initiali[sz]ation)_(std|stddev|scale|range|factor|gain|value|values|sigma|cutoff_factor)"
    r"|(.*_)?std_init|(.*_)?(init|weight|weights)_(std|stddev)|(.*_)?gain_init"
)


def init_settings(values: Mapping[str, Any]) -> dict[str, float]:
    """The settings among an object's fields or arguments, by name: numbers above 0."""
    return {
        name: value
        for name, value in values.items()
        if type(value) is float and value > 0 and _INIT.fullmatch(name.rpartition(".")[2])
    }
