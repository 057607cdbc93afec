"""An optimizer's state moved with its weights: moments by their power of the gradient, groups by the new plan.

Optimizers number their parameters, so each number's name is found first: names in the groups where the optimizer was
given named parameters, else the order of the plan's groups or of `model.parameters()`, confirmed by every shape.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..convert.apply import match
from ..convert.moves import move_of
from ..convert.plan import Plan
from ..errors import UserError
from .layout import Scaling, spoilt
from .skeleton import Skeleton, unwrapped
from .torch_archive import Archive, read_archive, write_archive
from .torch_file import Keys, TorchFile, at, optimizer_keys, replaced_at

_PER_GROUP = ("lr", "initial_lr", "max_lr", "min_lr")
_SCALED = {**dict.fromkeys(_PER_GROUP, "lr"), "weight_decay": "weight_decay", "eps": "eps"}


@dataclass(frozen=True)
class OptimizerFile:
    """An archive with the optimizer's state in it, at `keys`, and what the archive becomes."""

    archive: Archive
    content: Any
    keys: Keys
    scaled: tuple[tuple[str, torch.Tensor, Scaling], ...]

    @property
    def path(self) -> Path:
        """Where it is."""
        return self.archive.path

    def write(
        self,
        path: Path,
        mark: Mapping[str, str],
        advance: Callable[[int], None],
        others: list[tuple[str, torch.Tensor, Scaling]] | None = None,
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
    moved, scaled = _Mover(path, model.model, old, new).moved(at(archive.content, found[0]))
    return OptimizerFile(archive, replaced_at(archive.content, found[0], moved), found[0], tuple(scaled))


class _Mover:
    """Takes one optimizer's state dict from a plan to another."""

    def __init__(self, path: Path, model: nn.Module, old: Plan, new: Plan) -> None:
        self.path, self.model, self.old, self.new = path, model, old, new
        self.parameters = dict(model.named_parameters(remove_duplicate=False))
        self.first = {id(parameter): name for name, parameter in model.named_parameters()}
        self.all_names: dict[str, list[str]] = {}
        for name, parameter in self.parameters.items():
            self.all_names.setdefault(self.first[id(parameter)], []).append(name)
        self.entries = {self.first[id(p)]: entry for p, entry in match(old, model)}

    def moved(self, state: Mapping[str, Any]) -> tuple[dict[str, Any], list[tuple[str, torch.Tensor, Scaling]]]:
        """The new state dict, and the tensors in it that are to be scaled."""
        names = self._names(state)
        scaled: list[tuple[str, torch.Tensor, Scaling]] = []
        entries = {names[key]: self._entries(names[key], values, scaled) for key, values in state["state"].items()}
        groups = self._groups(state["param_groups"], names)
        numbered = {name: number for number, name in enumerate(name for g in groups for name in g["params"])}
        own = {name: key for key, name in names.items() if isinstance(key, str)}
        keys: dict[str, Any] = own or numbered
        for group in groups:
            group["params"] = [keys[name] for name in group["params"]]
        return {**state, "state": {keys[n]: entries[n] for n in keys if n in entries}, "param_groups": groups}, scaled

    def _entries(
        self, name: str, values: Mapping[str, Any], scaled: list[tuple[str, torch.Tensor, Scaling]]
    ) -> dict[str, Any]:
        move = move_of(self.old, self.new, self.all_names[name])
        out: dict[str, Any] = {}
        for key, value in values.items():
            out[key] = value
            if isinstance(value, torch.Tensor):
                scaled.append((f"{key} of {name}", value, Scaling(move.state(key))))
            elif isinstance(value, float):
                out[key] = value * move.state(key)
        return out

    # -- names ---------------------------------------------------------------------------------------------------------
    def _names(self, state: Mapping[str, Any]) -> dict[Any, str]:
        """From the state's keys to the parameters' names."""
        groups = state["param_groups"]
        keys = [key for group in groups for key in group["params"]]
        said = [name for group in groups for name in group.get("param_names", ())]
        if len(said) == len(keys):
            candidates = [said]
        elif all(isinstance(key, str) for key in keys):
            candidates = [keys]
        else:
            candidates = self._orders([len(group["params"]) for group in groups])
        for order in candidates:
            names = [self._own(name) for name in order]
            if len(names) == len(keys) and self._fits(dict(zip(keys, names, strict=True)), state["state"]):
                return dict(zip(keys, names, strict=True))
        raise UserError(
            f"{self.path}: cannot tell which state belongs to which parameter",
            "expected an optimizer over plan.param_groups(model), over model.parameters(), or over named parameters",
        )

    def _own(self, name: str) -> str:
        parts = unwrapped(name).split(".")
        for cut in range(len(parts)):
            parameter = self.parameters.get(".".join(parts[cut:]))
            if parameter is not None:
                return self.first[id(parameter)]
        return ""

    def _orders(self, sizes: list[int]) -> list[list[str]]:
        """The orders in which the parameters may have been numbered."""
        planned = self.old.param_groups(self.model, lr=1.0)
        orders = []
        if [len(group["params"]) for group in planned] == sizes:
            orders.append([self.first[id(parameter)] for group in planned for parameter in group["params"]])
        if len(sizes) == 1:
            orders.append([name for name, parameter in self.model.named_parameters() if parameter.requires_grad])
        return orders

    def _fits(self, names: Mapping[Any, str], state: Mapping[Any, Mapping[str, Any]]) -> bool:
        """Every name is a parameter's, and every state that is shaped like a parameter has that one's shape."""
        if not all(name in self.all_names for name in names.values()) or len(set(names.values())) < len(names):
            return False
        if not all(key in names for key in state):
            return False
        for key, values in state.items():
            shape = self.parameters[names[key]].shape
            whole = [v for v in values.values() if isinstance(v, torch.Tensor) and v.dim() and v.numel() > 1]
            if whole and not any(value.shape == shape for value in whole):
                return False
        return True

    # -- groups --------------------------------------------------------------------------------------------------------
    def _groups(self, groups: list[dict[str, Any]], names: Mapping[Any, str]) -> list[dict[str, Any]]:
        """The old plan's scales taken out of the settings, equal groups joined, and the new plan's put in."""
        joined: dict[str, dict[str, Any]] = {}
        for group in groups:
            members = [names[key] for key in group["params"]]
            settings = self._unscaled(group, members)
            key = repr(sorted((k, _rounded(v)) for k, v in settings.items()))
            joined.setdefault(key, {**settings, "params": []})["params"] += members
        order = {name: index for index, name in enumerate(self.first.values())}
        bases = [
            {**group, "params": [self.parameters[n] for n in sorted(group["params"], key=order.__getitem__)]}
            for group in joined.values()
        ]
        made = self.new.refine(self.model, bases)
        named = any("param_names" in group for group in groups)
        return [self._finished(group, named) for group in made]

    def _unscaled(self, group: Mapping[str, Any], members: list[str]) -> dict[str, Any]:
        scales = {
            tuple(self.old.scale(getattr(self.entries[name], setting)) for setting in ("lr", "weight_decay", "eps"))
            for name in members
        }
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
