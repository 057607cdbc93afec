"""Parameters that several param groups hold, of one optimizer or of several."""

from __future__ import annotations

from typing import Any

from torch import nn

from ..findings.discrepancy import Discrepancy
from ..findings.names import pattern_of_all
from ..optimizers.several import parts


def held_twice(optimizer: Any, model: nn.Module, file: str | None, line: int | None) -> list[Discrepancy]:
    """One discrepancy for every set of groups that hold the same parameters."""
    places: dict[int, list[str]] = {}
    for part in parts(optimizer):
        for number, group in enumerate(part.param_groups):
            for parameter in group["params"]:
                places.setdefault(id(parameter), []).append(f"group {number} of {type(part).__name__}")
    found: dict[str, list[str]] = {}
    for name, parameter in model.named_parameters():
        if len(places.get(id(parameter), ())) > 1:
            found.setdefault(", ".join(places[id(parameter)]), []).append(name)
    return [
        Discrepancy("held_twice", None, tuple(names), pattern_of_all(names), 0.0, 0.0, file, line, detail=where)
        for where, names in found.items()
    ]
