"""What holds a parameter: the optimizer, of several, and its param group."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn


@dataclass(frozen=True)
class Holder:
    """What holds a parameter: the optimizer, its group, and the parameter itself."""

    optimizer: Any
    number: int
    parameter: torch.Tensor

    @property
    def group(self) -> dict[str, Any]:
        """The param group."""
        return self.optimizer.param_groups[self.number]  # type: ignore[no-any-return]

    @property
    def lr(self) -> float:
        """The group's learning rate; 1 for an optimizer that finds its own."""
        rate = self.group.get("lr")
        return 1.0 if rate is None else float(rate)


def holders(optimizer: Any, model: nn.Module) -> dict[str, Holder]:
    """By the name of every parameter that is trained."""
    names: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    parts = getattr(optimizer, "optimizers", None)  # wrappers that hold several optimizers
    return {
        name: Holder(part, number, parameter)
        for part in (parts if isinstance(parts, (list, tuple)) else [optimizer])
        for number, group in enumerate(part.param_groups)
        for parameter in group["params"]
        if parameter.requires_grad
        for name in names.get(id(parameter), ())
    }
