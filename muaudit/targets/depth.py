"""How many layers a small model keeps: so many that every kind of module of the whole model occurs in it.

Hybrid models put attention into every fourth block, a mixture of experts into every second, or treat their first blocks
apart. The whole model is built once for its modules alone, on the meta device where its constructor allows that.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from muaudit.targets import argnames
from muaudit.targets.arguments import MISSING, Leaf
from muaudit.targets.bare import without_values
from muaudit.targets.small import STAGES
from muaudit.targets.usercode import attempt
from muaudit.targets.widths import WidthPlan

_DEEPEST = 24
"""Layers that a small model may get for the sake of a kind of module that comes late."""
_CONTAINERS = (nn.ModuleList, nn.ModuleDict, nn.Sequential)

Build = Callable[[Mapping[str, Any]], Any]
_Kind = tuple[Any, ...]


@dataclass(frozen=True)
class Covered:
    """A plan deep enough, and what of the whole model is in it at no depth that was tried: (class, why)."""

    plan: WidthPlan
    missing: tuple[tuple[str, str], ...] = ()


def covered(plan: WidthPlan, knobs: Mapping[str, Leaf], given: Collection[str], build: Build) -> Covered:
    """The plan with as many layers as it takes for every kind of module to occur.

    given: arguments that the user has set, which stay. build: from arguments to a model.
    """
    plan = _with_whole_stages(plan, knobs, given, build)
    cuts = {name: leaf.value for name, leaf in knobs.items()
            if name not in given and _is_cut(name, leaf.value, plan.fixed.get(name))}  # fmt: skip
    values = plan.values({})
    whole = _kinds(build, values | cuts) if cuts else None
    few = _kinds(build, values) if whole else None
    if whole is None or few is None or not whole.keys() - few.keys():
        return Covered(plan)
    depths = sorted({_layer(whole[kind]) + 1 for kind in whole.keys() - few.keys()} | {max(cuts.values())})
    left = whole.keys() - few.keys()
    for depth in (each for each in depths if each <= _DEEPEST):
        deeper = {name: min(own, max(depth, plan.fixed[name])) for name, own in cuts.items()}
        found = _kinds(build, values | deeper) or {}
        if len(whole.keys() - found.keys()) < len(left):
            left = whole.keys() - found.keys()
            few, plan = found, replace(plan, fixed={**plan.fixed, **deeper})
        if not left:
            break
    here = {kind[0] for kind in few}
    gone = {kind[0] for kind in left} - here
    causes = [kind for kind in whole if kind in left and not (kind[0] in here and gone & {part for _, part in kind[2]})]
    shown = dict.fromkeys(_shown(kind, whole[kind], here) for kind in causes)
    layers = ", ".join(f"{name} = {own}" for name, own in cuts.items())
    return Covered(plan, tuple((each, f"it is in the model at {layers}, not in the small one") for each in shown))


def _with_whole_stages(
    plan: WidthPlan, knobs: Mapping[str, Leaf], given: Collection[str], build: Build
) -> WidthPlan:  # fmt: skip
    """The plan; with the model's own layers in every stage where fewer of them lack a kind of module."""
    own = {name: leaf.value for name, leaf in knobs.items() if name not in given and name in plan.fixed
           and isinstance(leaf.value, (list, tuple)) and leaf.value != plan.fixed[name]
           and argnames.rank(name.rpartition(".")[2], STAGES) is not None}  # fmt: skip
    if not own or shows_all(plan, own, build):
        return plan
    return replace(plan, fixed={**plan.fixed, **own})


def shows_all(plan: WidthPlan, own: Mapping[str, Any], build: Build) -> bool:
    """Whether every kind of module occurs although these arguments are smaller than the model's own values.

    Networks of convolutions attend at some resolutions alone: with a small image they may have no attention.
    """
    values = plan.values({})
    whole = _kinds(build, values | dict(own))
    few = _kinds(build, values) if whole is not None else None
    return whole is None or few is None or not whole.keys() - few.keys()


def _is_cut(name: str, own: Any, used: Any) -> bool:
    depth = argnames.rank(name.rpartition(".")[2], argnames.DEPTH) is not None
    return depth and own is not MISSING and type(own) is int and type(used) is int and own > used


def _kinds(build: Build, values: Mapping[str, Any]) -> dict[_Kind, str] | None:
    """Every kind of module in the model with the first place it occurs at; None where it cannot be built."""
    for place in (
        without_values(),
        without_values(counted=True),
        torch.device("cpu"),
    ):  # constructors that look at values fail without them
        try:
            with attempt(), place:
                return dict(reversed(list(_walk(build(values)))))
        except Exception:
            continue
    return None


def _walk(model: nn.Module) -> Iterator[tuple[_Kind, str]]:
    """A module's kind: its class, its own parameters, and what its parts are, whatever their sizes."""
    for path, module in model.named_modules():
        own = tuple(name for name, _ in module.named_parameters(recurse=False))
        loose = isinstance(module, _CONTAINERS) or not path
        parts = () if loose else tuple((name, type(part)) for name, part in module.named_children())
        yield (type(module), own, parts), path


def _layer(path: str) -> int:
    """The largest number in a path such as `blocks.3.mix`: the place of its layer."""
    return max((int(part) for part in path.split(".") if part.isdigit()), default=0)


def _shown(kind: _Kind, path: str, here: set[Any]) -> str:
    name = str(kind[0].__name__)
    return f"{name} as at {path}" if kind[0] in here else name
