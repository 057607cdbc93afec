"""Which family an optimizer's class belongs to: by its own name, or a base class's where it makes that one's steps."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from .family import Family, Member
from .registry import UNKNOWN, families, named


def known(optimizer: Any) -> tuple[Family, Member] | None:
    """The family and member of an optimizer; None for one whose class is not known."""
    for cls in type(optimizer).__mro__:
        found = named(cls.__name__)
        if found is not None:
            return _by_options(optimizer, *found)
        if has_own_step(cls):
            return None
    return None


_KINDS = ("kind", "algorithm", "algo", "optimizer", "optim", "type")
"""Keys of a param group under which optimizers that mix several say which of them trains it."""


def known_by_group(group: Mapping[str, Any]) -> tuple[Family, Member] | None:
    """The family and member that a group's own keys name: `kind="adamw"`, `use_muon=True`, whose False means Adam."""
    for key in _KINDS:
        if isinstance(group.get(key), str) and (found := named(group[key])) is not None:
            return found
    if group.get("use_muon") is False:
        return named("adam")
    switched = (named(key[4:]) for key, value in group.items() if key.startswith("use_") and value is True)
    return next(filter(None, switched), None)


def family_of(optimizer: Any) -> str:
    """The name of its family, `UNKNOWN` where the class is not known or follows no law."""
    found = known(optimizer)
    return UNKNOWN if found is None or found[0].law is None else found[0].name


def has_own_step(cls: type) -> bool:
    """Whether a class has a `step` of its own that does not call the one of its base class."""
    return overrides_step(cls) and "super" not in inspect.unwrap(cls.__dict__["step"]).__code__.co_names


def overrides_step(cls: type) -> bool:
    """Whether a class has a `step` of its own, one that calls its base class's included.

    torch puts the step of the base class, wrapped for its hooks, into every class that is instantiated.
    """
    if "step" not in cls.__dict__:
        return False
    step = inspect.unwrap(cls.__dict__["step"])
    inherited = next((base.__dict__["step"] for base in cls.__mro__[1:] if "step" in base.__dict__), None)
    return inspect.isfunction(step) and (inherited is None or inspect.unwrap(inherited) is not step)


def _by_options(optimizer: Any, family: Family, member: Member) -> tuple[Family, Member]:
    """Adafactor's steps are relative to the parameter only with `scale_parameter`, which torch's always has."""
    if family.name == "adafactor" and not getattr(optimizer, "defaults", {}).get("scale_parameter", True):
        return families()["adam"], member
    return family, member
