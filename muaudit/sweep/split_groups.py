"""Parameter groups cut in two, so that some of their parameters can have a setting of their own."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch


def split_off(
    optimizer: torch.optim.Optimizer, group: dict[str, Any], chosen: Collection[int]
) -> dict[str, Any] | None:
    """The group that holds those parameters of a group that were chosen, and no others; None where it has none.

    chosen: by `id`. A new group has all settings of the old one.
    """
    inside = [id(parameter) in chosen for parameter in group["params"]]
    if not any(inside):
        return None
    if all(inside):
        return group
    names = group.get("param_names")  # torch's list for parameters that were given with their names
    pairs = list(zip(names or [""] * len(inside), group["params"], strict=True))
    group["params"] = [parameter for (_, parameter), own in zip(pairs, inside, strict=True) if not own]
    if names is not None:
        group["param_names"] = [name for (name, _), own in zip(pairs, inside, strict=True) if not own]
    moved = [pair if names is not None else pair[1] for pair, own in zip(pairs, inside, strict=True) if own]
    settings = {name: value for name, value in group.items() if name not in ("params", "param_names")}
    optimizer.add_param_group({**settings, "params": moved})
    return optimizer.param_groups[-1]
