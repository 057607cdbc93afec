"""Which tensor of a checkpoint is which of the model's, and every difference between the two, by name."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping
from fnmatch import fnmatchcase

from ..errors import UserError
from ..targets.skeleton import Skeleton, prefix_between, unwrapped
from .renamed import renaming
from .stored_tensors import Stored

_SHOWN = 6
_MISSING, _UNKNOWN, _SHAPE = "missing from the checkpoint", "the model has no such tensor", "has the shape"


def match_names(
    tensors: Mapping[str, Stored], model: Skeleton, keep: Collection[str] = ()
) -> tuple[dict[str, tuple[str, ...]], str]:
    """From a checkpoint's names to all names of the model's parameter; buffers and kept tensors are left out.

    keep: patterns of tensors that the model does not have and that are copied as they are. Also returns a sentence on
    the prefix by which all names differ, or nothing.

    Raises:
        UserError: tensors are missing, unknown or of another shape; every one of them is named.
    """
    names = model.names
    on_disk = renaming(model.model)
    prefix = _prefix([name for name in tensors if on_disk(unwrapped(name)) not in names], names)
    parts: dict[tuple[str, ...], int] = {}
    found: dict[str, tuple[str, ...]] = {}
    problems: list[str] = []
    buffers: set[str] = set()
    for name, stored in tensors.items():
        own = _renamed(name, prefix, names)
        if own in names:
            found[name] = names[own]
            problems += _shape(name, stored, model.parameters[names[own]])
        elif own in model.buffers:
            buffers.add(own)
            problems += _shape(name, stored, model.buffers[own])
        elif (of := on_disk(unwrapped(name))) in names:
            found[name] = names[of]
            parts[names[of]] = parts.get(names[of], 0) + math.prod(stored.shape)
        elif of in model.buffers:
            buffers.add(of)
            problems += _shape(name, stored, model.buffers[of])
        elif not any(fnmatchcase(name, pattern) for pattern in keep):
            problems.append(f"{name}: {_UNKNOWN}")
    problems += [
        f"{every[0]}: {_SHAPE} {_dims(model.parameters[every])} in the model, its parts here hold {count:,} elements"
        for every, count in parts.items()
        if count != math.prod(model.parameters[every])
    ]
    there = set(found.values())
    problems += [f"{every[0]}: {_MISSING}" for every in model.parameters if every not in there]
    problems += [f"{name}: {_MISSING}" for name in model.buffers if name not in buffers]
    if problems:
        raise _mismatch(problems)
    return found, _sentence(prefix)


def _prefix(tensors: Collection[str], names: Mapping[str, object]) -> tuple[str, str]:
    """The one that most of the names need that are not the model's as they are."""
    strangers = [name for name in tensors if unwrapped(name) not in names]
    votes = Counter(found for name in strangers if (found := prefix_between(name, names)) is not None)
    return votes.most_common(1)[0][0] if votes else ("", "")


def _renamed(name: str, prefix: tuple[str, str], names: Mapping[str, object]) -> str:
    name = unwrapped(name)
    off, on = prefix
    return name if name in names or not name.startswith(off) else on + name.removeprefix(off)


def _sentence(prefix: tuple[str, str]) -> str:
    off, on = prefix
    if off:
        return f"names in the checkpoint begin with {off!r}, the model's do not"
    return f"names of the model begin with {on!r}, the checkpoint's do not" if on else ""


def _shape(name: str, stored: Stored, shape: tuple[int, ...]) -> list[str]:
    if stored.shape == shape:
        return []
    return [f"{name}: {_SHAPE} {_dims(stored.shape)}, the model's is {_dims(shape)}"]


def _dims(shape: tuple[int, ...]) -> str:
    return "(" + ", ".join(map(str, shape)) + ")"


def _mismatch(problems: list[str]) -> UserError:
    shown: list[str] = []
    for kind in (_MISSING, _UNKNOWN, _SHAPE):
        these = [f"  {problem}" for problem in problems if kind in problem]
        shown += these[:_SHOWN] + ([f"  and {len(these) - _SHOWN} more like this"] if len(these) > _SHOWN else [])
    shapes, unknown, missing = (any(kind in problem for problem in problems) for kind in (_SHAPE, _UNKNOWN, _MISSING))
    deep = "--width says how wide the checkpoint is, --set n_layer=N and the like how deep"
    hints = [deep] if shapes or (missing and not unknown) else []
    hints += ["--keep 'PATTERN' copies tensors that the model does not have as they are"] if unknown else []
    renamed = (
        "where a library renames tensors while it loads them, as transformers does for some models, save them by\n"
        "the names of the model: torch.save(model.state_dict(), FILE)"
    )
    hints += [renamed] if unknown and missing else []
    return UserError("the checkpoint is not this model's", "\n".join([*shown, *hints, "nothing was written"]))
