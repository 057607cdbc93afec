"""What stands for one argument of a forward until it is made, and what the constructor tells of all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from muaudit.targets import argnames
from muaudit.targets.options import InputSpec

ROWS, LENGTH = 2, 32
TARGET_NAMES = ("targets", "target", "labels", "label", "y", "gt", "target_ids")


@dataclass(frozen=True)
class Filled(InputSpec):
    """A tensor with one value everywhere: lengths, masks that hide nothing, the graph that every node is in."""

    value: int = 0


@dataclass(frozen=True)
class Marked(InputSpec):
    """Token ids of which the first `places` of every row are those that stand for pieces of an image."""

    value: int = 0
    places: int = 0


Slot = InputSpec | bool | int | float | str | tuple[Any, ...] | list[Any] | dict[str, Any] | SimpleNamespace | None
"""One argument: a tensor to make, a plain value, or several: a list, as recurrent states are, or a batch by names."""
Guess = tuple[tuple[Any, ...], Slot]
"""A slot, and what it was made for: the same in models of two widths."""


@dataclass(frozen=True)
class Hints:
    """What the constructor's arguments tell about the input. values: all of them, by their short names."""

    length: int = LENGTH
    image: int | None = None
    values: Mapping[str, Any] = field(default_factory=dict)

    def size(self, table: tuple[str, ...]) -> int | None:
        """The first argument of a table that holds a size, or else one that is called so after a prefix."""
        sizes = {name: value for name, value in self.values.items() if type(value) is int and value > 0}
        found = {argnames.rank(name, table): value for name, value in sizes.items()
                 if argnames.rank(name, table) is not None}  # fmt: skip
        ending = (value for name, value in sizes.items() if argnames.named(name, table))
        return found[min(found, key=lambda place: place or 0)] if found else next(ending, None)
