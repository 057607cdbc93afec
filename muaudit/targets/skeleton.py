"""The names and shapes of a model at full width, without its weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import nn

from ..errors import UserError
from .bare import without_values
from .probe import Target
from .whole import sizes_at

_WRAPPERS = ("_orig_mod", "_checkpoint_wrapped_module", "_fsdp_wrapped_module")


@dataclass(frozen=True)
class Skeleton:
    """A model's state dict without values.

    parameters: shapes by all names of a parameter, which are several where it is shared. buffers: other tensors of the
    state dict. model: the model itself, on the meta device where that can be. optimizer: makes the target's own
    optimizer for it, or nothing.
    """

    model: nn.Module
    parameters: Mapping[tuple[str, ...], tuple[int, ...]]
    buffers: Mapping[str, tuple[int, ...]]
    optimizer: Callable[[], Any] = lambda: None

    @cached_property
    def names(self) -> dict[str, tuple[str, ...]]:
        """From every name of a parameter to all of its names."""
        return {name: names for names in self.parameters for name in names}

    @cached_property
    def by_name(self) -> dict[str, nn.Parameter]:
        """The model's parameters by all their names."""
        return dict(self.model.named_parameters(remove_duplicate=False))

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes by the first name of each parameter, as `model.named_parameters()` has them."""
        return {names[0]: shape for names, shape in self.parameters.items()}

    def knows(self, name: str) -> bool:
        """Whether a checkpoint's name is one of the model's, give or take a prefix."""
        return prefix_between(name, self.names) is not None


def skeleton(target: Target, width: int) -> Skeleton:
    """Build the target at a width on the meta device; a model that cannot do without values is built for real.

    Raises:
        UserError: it cannot be built at this width.
    """
    sizes = sizes_at(target, width)
    try:
        with without_values():
            model = target.build(sizes, 0)
    except UserError:
        if target.own is not None:  # of any size: too large to be built to look at it
            raise
        model = target.build(sizes, 0)
    return replace(skeleton_of(model), optimizer=lambda: target.optimizer(model, sizes))


def skeleton_of(model: nn.Module) -> Skeleton:
    """The skeleton of a model that is there."""
    names: dict[int, list[str]] = {}
    shapes: dict[int, tuple[int, ...]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
        shapes[id(parameter)] = tuple(parameter.shape)
    parameters = {tuple(found): shapes[key] for key, found in names.items()}
    every = {name for found in parameters for name in found}
    state = model.state_dict()
    buffers = {
        name: tuple(value.shape)
        for name, value in state.items()
        if name not in every and isinstance(value, torch.Tensor)
    }
    return Skeleton(model, parameters, buffers)


def unwrapped(name: str) -> str:
    """A name without what torch.compile, FSDP and checkpoint wrappers put into it."""
    return ".".join(part for part in name.split(".") if part not in _WRAPPERS)


def prefix_between(name: str, known: Mapping[str, object]) -> tuple[str, str] | None:
    """What to take off a checkpoint's name, and what to put before it, to find it among the known ones."""
    name = unwrapped(name)
    if name in known:
        return "", ""
    parts = name.split(".")
    for cut in range(1, len(parts)):
        if ".".join(parts[cut:]) in known:
            return ".".join(parts[:cut]) + ".", ""
    for other in known:
        if other.endswith("." + name):
            return "", other.removesuffix(name)
    return None
