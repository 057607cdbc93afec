"""An optimizer's state moved with its weights: moments by their power of the gradient, groups by the new plan."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..errors import UserError
from ..plan.apply import match
from ..plan.move import move_of
from ..plan.plan import Plan
from ..targets.skeleton import Skeleton
from .numbering import Numbering, numbering
from .stored_tensors import TensorFactor, spoilt
from .torch_archive import Archive, read_archive, write_archive
from .torch_file import Keys, TorchFile, at, optimizer_keys, replaced_at

_PER_GROUP = ("lr", "initial_lr", "max_lr", "min_lr")
_SCALED = {**dict.fromkeys(_PER_GROUP, "lr"), "weight_decay": "weight_decay", "eps": "eps"}


@dataclass(frozen=True)
class OptimizerFile:
    """An archive with the optimizer's state in it, at `keys`, and what the archive becomes.

    own_groups: it is over the groups of the target's own optimizer, refined.
    """

    archive: Archive
    content: Any
    keys: Keys
    scaled: tuple[tuple[str, torch.Tensor, TensorFactor], ...]
    own_groups: bool

    @property
    def path(self) -> Path:
        """Where it is."""
        return self.archive.path

    def write(
        self,
        path: Path,
        mark: Mapping[str, str],
        advance: Callable[[int], None],
        others: list[tuple[str, torch.Tensor, TensorFactor]] | None = None,
    ) -> None:
        """Write the archive with the state moved, and with `others` scaled too."""
        write_archive(self.archive, path, self.content, [*self.scaled, *(others or [])], mark, advance)


def read_optimizer_file(path: Path, weights: TorchFile | None, model: Skeleton, old: Plan, new: Plan) -> OptimizerFile:
    """Read the state of an optimizer over the groups of `old`, and move it to those of `new`.

    weights: the file already read, where weights and state share one.

    Raises:
        UserError: the file is damaged, or holds no optimizer state, several, one of another model or one that was
            moved before; an entry of the state is of a kind whose scaling is not known.
    """
    archive = weights.archive if weights is not None else read_archive(path)
    if weights is None and archive.mark is not None and archive.mark.get("formulation") != old.formulation:
        raise UserError(
            f"{path} has been moved before, to the formulation {archive.mark.get('formulation', '?')}",
            f"--from names the plan it comes from; the one given is {old.formulation}",
        )
    found = optimizer_keys(archive.content)
    if len(found) != 1:
        raise spoilt(
            path, f"it holds {len(found) or 'no'} optimizer state{'s' if found else ''}",
            "expected one dict with `state` and `param_groups`: torch.save(optimizer.state_dict(), FILE)",
        )  # fmt: skip
    state = at(archive.content, found[0])
    numbers = numbering(path, model, old, state)
    moved, scaled = Mover(path, model, old, new).moved(state, numbers)
    content = replaced_at(archive.content, found[0], moved)
    return OptimizerFile(archive, content, found[0], tuple(scaled), numbers.own)


class Mover:
    """Takes one optimizer's state dict from a plan to another."""

    def __init__(self, path: Path, model: Skeleton, old: Plan, new: Plan) -> None:
        self.path, self.skeleton, self.old, self.new = path, model, old, new
        self.model = model.model
        first = {id(parameter): name for name, parameter in self.model.named_parameters()}
        self.entries = {first[id(parameter)]: entry for parameter, entry in match(old, self.model)}
        self.first = first

    def moved(
        self, state: Mapping[str, Any], found: Numbering
    ) -> tuple[dict[str, Any], list[tuple[str, torch.Tensor, TensorFactor]]]:
        """The new state dict, and the tensors in it that are to be scaled."""
        names = found.names
        scaled: list[tuple[str, torch.Tensor, TensorFactor]] = []
        entries = {names[key]: self._entries(names[key], values, scaled) for key, values in state["state"].items()}
        groups = self._groups(state["param_groups"], found)
        numbered = {name: number for number, name in enumerate(name for g in groups for name in g["params"])}
        own = {name: key for key, name in names.items() if isinstance(key, str)}
        keys: dict[str, Any] = own or numbered
        for group in groups:
            group["params"] = [keys[name] for name in group["params"]]
        return {**state, "state": {keys[n]: entries[n] for n in keys if n in entries}, "param_groups": groups}, scaled

    def _entries(
        self, name: str, values: Mapping[str, Any], scaled: list[tuple[str, torch.Tensor, TensorFactor]]
    ) -> dict[str, Any]:
        move = move_of(self.old, self.new, self.skeleton.names[name])
        out: dict[str, Any] = {}
        for key, value in values.items():
            out[key] = value
            if isinstance(value, torch.Tensor):
                scaled.append((f"{key} of {name}", value, TensorFactor(move.state(key))))
            elif isinstance(value, float):
                out[key] = value * move.state(key)
        return out

    # -- groups --------------------------------------------------------------------------------------------------------
    def _groups(self, groups: list[dict[str, Any]], found: Numbering) -> list[dict[str, Any]]:
        """The old plan's scales taken out of the settings, the user's groups put together again, and the new plan's
        scales put in."""
        rank = {name: (number, n) for number, base in enumerate(found.bases) for n, name in enumerate(base.names)}
        joined: dict[tuple[int, str], dict[str, Any]] = {}
        for group in groups:
            members = [found.names[key] for key in group["params"]]
            settings = self._unscaled(group, members)
            number = rank[members[0]][0] if members else 0
            key = number, repr(sorted((k, _rounded(v)) for k, v in settings.items()))
            title = found.bases[number].title
            new = {**settings, **({"name": title} if title else {}), "params": []}
            joined.setdefault(key, new)["params"] += members
        bases = [
            {**group, "params": [self.skeleton.by_name[n] for n in sorted(group["params"], key=rank.__getitem__)]}
            for group in joined.values()
        ]
        made = self.new.refine(self.model, bases)
        named = any("param_names" in group for group in groups)
        return [self._finished(group, named) for group in made]

    def _unscaled(self, group: Mapping[str, Any], members: list[str]) -> dict[str, Any]:
        scales = {self.old.scales_of(self.entries[name])[1:] for name in members}
        if len(scales) > 1:
            raise UserError(
                f"{self.path}: its group of {members[0]} has one learning rate for what the plan tells apart",
                "expected an optimizer over param_groups(model) or refine(model, groups) of the plan given with --from",
            )
        lr, decay, eps = scales.pop() if scales else (1.0, 1.0, 1.0)
        by = {"lr": lr, "weight_decay": decay, "eps": eps}
        left = {k: v for k, v in group.items() if k not in ("params", "param_names", "lr_scale", "name")}
        return {key: value / by[_SCALED[key]] if _is_scaled(key, value) else value for key, value in left.items()}

    def _finished(self, group: dict[str, Any], named: bool) -> dict[str, Any]:
        names = [self.first[id(parameter)] for parameter in group["params"]]
        scale = group["lr_scale"]
        for key in _PER_GROUP[1:]:
            if isinstance(group.get(key), float | torch.Tensor):
                group[key] = group[key] * scale
        return {**group, "params": names} | ({"param_names": names} if named else {})


def _is_scaled(key: str, value: Any) -> bool:
    return key in _SCALED and isinstance(value, float | torch.Tensor)


def _rounded(value: Any) -> Any:
    return float(f"{float(value):.10g}") if isinstance(value, float | torch.Tensor) else value
