"""What is known about optimizers: a family has a step law, its members are classes with their settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from .law import Law

Powers = Mapping[str, int]
"""Powers of the gradient's size in which the state of an optimizer is held, by the name its class gives it."""


def powers(**of: int) -> Powers:
    """Read-only, with the step count, which follows nothing."""
    return MappingProxyType({"step": 0, **of})


@dataclass(frozen=True)
class Member:
    """Classes that behave alike.

    names: in lower case without underscores, as `type(optimizer).__name__` has them; the first is what it is called.
    torch: the class in torch.optim, "" for none. extra: what `--optimizer NAME` makes torch's class with, by NAME.
    eps: the default beside a root of a second moment, None where it differs or there is none; without_eps: none at all.
    decoupled: whether weight decay is taken off the weights rather than added to the gradient, unless a group says.
    entrywise: every entry is treated on its own, by a step that is linear in the learning rate, and no state depends
        on that rate.
    first: the law of the first steps, where these follow another than the family's.
    """

    names: tuple[str, ...]
    torch: str = ""
    extra: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    eps: float | None = None
    without_eps: bool = False
    decoupled: bool = False
    entrywise: bool = False
    state: Powers = field(default_factory=powers)
    first: Law | None = None


@dataclass(frozen=True)
class Family:
    """Members with one step law.

    name: also what is printed before "learning rate". law: None where the steps follow none.
    rule: the law in words, with its source, for `--why`; without a law, the reason.
    table: the column of TP5's tables that holds for it, "" for none.
    """

    name: str
    law: Law | None
    rule: str
    members: tuple[Member, ...]
    table: str = ""
