"""All families, and which one a class belongs to by its name."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Mapping

from . import families as _files
from .family import Family, Member
from .law import Law

UNKNOWN = "unknown"
"""In place of a family's name: how a step follows from the learning rate is not known."""


@functools.cache
def families() -> Mapping[str, Family]:
    """By name: the FAMILY of every file in `families`."""
    names = sorted(each.name for each in pkgutil.iter_modules(_files.__path__))
    found = [importlib.import_module(f"{_files.__name__}.{name}").FAMILY for name in names]
    return {family.name: family for family in found}


@functools.cache
def _by_class() -> Mapping[str, tuple[Family, Member]]:
    return {name: (family, member) for family in families().values() for member in family.members
            for name in member.names}  # fmt: skip


def named(name: str) -> tuple[Family, Member] | None:
    """The family and member of a class of this name, in any case; None where the name is not known."""
    return _by_class().get(name.lower().replace("_", ""))


def law_of(family: str) -> Law:
    """The step law of a family; Adam's for a name that is none."""
    found = families().get(family)
    return (found and found.law) or Law()


def member(name: str) -> Member:
    """What is known of an optimizer of this name; nothing of one that is not."""
    found = named(name)
    return found[1] if found else Member((name,))


def torch_classes() -> dict[str, tuple[str, dict[str, object]]]:
    """What `--optimizer` takes: name → (class in torch.optim, settings)."""
    return {
        option: (member.torch, dict(settings))
        for family in families().values()
        for member in family.members
        for option, settings in member.extra.items()
    }


def state_power(optimizer: str, key: str) -> int | None:
    """The power of the gradient's size in which an entry of optimizer state is held: its own, else what all others say.

    None where the entry is not known, or optimizers differ in it.
    """
    own = member(optimizer).state
    if key in own and named(optimizer):
        return own[key]
    found = {each.state[key] for each in _members() if key in each.state}
    return found.pop() if len(found) == 1 else None


def state_entries() -> list[str]:
    """The names of all entries that are known."""
    return list(dict.fromkeys(key for each in _members() for key in each.state))


def _members() -> list[Member]:
    return [each for family in families().values() for each in family.members]
