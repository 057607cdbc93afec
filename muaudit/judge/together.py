"""One mistake made everywhere is one finding: findings that hold for all tensors of a role, told once."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from ..findings.discrepancy import Discrepancy
from ..findings.names import braced, pattern_of, pattern_of_all
from ..optimizers.trained import Trained
from .edits import Judged

_ASPECTS = (
    "lr",
    "init",
    "weight_decay",
    "l2_adam",
    "decay_vector",
    "eps",
    "setting",
    "first_steps",
    "own_rate",
    "decay_free",
    "decay_not_as_set",
    "orthogonalised_role",
    "study",
    "init_shape",
    "no_gradient",
    "no_group",
)
_WHATEVER_ROLE = (
    "l2_adam",
    "decay_vector",
    "eps",
    "setting",
    "first_steps",
    "own_rate",
    "decay_free",
    "decay_not_as_set",
    "orthogonalised_role",
    "study",
    "init_shape",
    "no_gradient",
    "no_group",
)  # settings of the optimizer, and what is not trained


def united(
    found: Sequence[Discrepancy], judged: Iterable[Judged], trained: Mapping[str, Trained] | None = None
) -> list[Discrepancy]:
    """`found`, with findings of one kind merged: of all tensors of a role, in one module, of one line's constant."""
    members: dict[tuple[str, str], set[str]] = {}
    for j in judged:
        if j.use.tensor:
            how = (trained or {}).get(j.use.tensor)
            members.setdefault((j.use.role, how.family if how else ""), set()).add(j.use.tensor)
    groups: dict[tuple[object, ...], list[Discrepancy]] = {}
    for d in found:
        groups.setdefault(_key(d), []).append(d)
    out: list[Discrepancy] = []
    for group in groups.values():
        names = {name for d in group for name in d.tensors}
        role = members.get((group[0].role or "", group[0].optimizer if trained else ""), set())
        everywhere = group[0].aspect in (*_WHATEVER_ROLE, "multiplier") or names >= role
        alone = [merged(group)] if len(group) > 1 and everywhere else _whole(_whole(group, role, _stage), role, _layer)
        out += _siblings(alone)
    return sorted(out, key=found.index) if len(out) == len(found) else out


def _key(d: Discrepancy) -> tuple[object, ...]:
    """What findings share that are told as one, at least for the tensors of one role."""
    if d.rows:
        return (id(d),)
    if d.aspect == "multiplier" and d.tensors and d.line is not None:  # a constant that one line holds
        return (d.file, d.line, d.role, round(d.found, 3), round(d.expected, 3), d.optimizer, d.tied, d.detail)
    if d.aspect not in _ASPECTS or not d.tensors:
        return (id(d),)
    if d.aspect in _WHATEVER_ROLE:
        return (d.aspect, d.optimizer, d.detail)
    return (d.aspect, d.role, round(d.found, 3), round(d.expected, 3), d.optimizer, d.tied, d.bound, d.detail)


def _whole(group: list[Discrepancy], members: set[str], key: Callable[[str], str]) -> list[Discrepancy]:
    """Merge over tensors with one key where a tensor is wrong under every name with that key."""
    parts: dict[str, list[Discrepancy]] = {}
    for d in group:
        parts.setdefault(key(d.tensors[0]) if d.tensors else str(id(d)), []).append(d)
    out: list[Discrepancy] = []
    for shared, part in parts.items():
        names = {name for d in part for name in d.tensors}
        if len(part) > 1 and names == {name for name in members if key(name) == shared}:
            pattern = shared if key is _stage else braced([d.pattern or d.tensors[0] for d in part])
            part = [replace(merged(part), pattern=pattern)]
        out += part
    return out


def _siblings(group: list[Discrepancy]) -> list[Discrepancy]:
    """Merge over layers that are held by one module (`k`, `v`): whoever was wrong about one was about the other."""
    by_owner: dict[object, list[Discrepancy]] = {}
    for d in group:
        name = d.pattern or next(iter(d.tensors), "")
        by_owner.setdefault(tuple(name.split(".")[:-2]) if name else id(d), []).append(d)
    return [
        replace(merged(part), pattern=braced([d.pattern or d.tensors[0] for d in part])) if len(part) > 1 else part[0]
        for part in by_owner.values()
    ]


def _layer(name: str) -> str:
    """The name within its module: a rule that goes by names misses all layers that are called so."""
    return ".".join(name.split(".")[-2:])


def _stage(name: str) -> str:
    """Numbers folded, also at the end of the names of containers (`layer1`, `layer2`)."""
    *containers, module, tensor = ["", "", *name.split(".")]
    folded = [re.sub(r"(?<=[a-z_])\d+$", "*", each) for each in containers if each]
    return pattern_of(".".join([*folded, *(each for each in (module, tensor) if each)]))


def merged(group: list[Discrepancy]) -> Discrepancy:
    """Findings as one, of all their tensors; what they do not share is left out."""
    first = group[0]
    names = tuple(dict.fromkeys(name for d in group for name in d.tensors))
    values = first.values if all(d.values == first.values for d in group) else ()
    role = first.role if all(d.role == first.role for d in group) else None
    return replace(first, tensors=names, pattern=pattern_of_all(names) if names else "", values=values, role=role)
