"""The changes that mutants are made of, each a power of m = width / base width (or a plain constant).

They act on the built model and its optimizer, never on its source: parameters are scaled in place after the build,
learning rates in the param groups, and constants enter the forward pass by hooks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from .subject import Anatomy, Subject

M = "mutated_m"  # the attribute under which a built model carries its width multiplier


@dataclass(frozen=True)
class Change:
    """One change by `constant` · m**`exponent`.

    what: "init", "lr", "eps" of parameter `where`; "multiplier" of parameter `where` in every use (or, as
    `module:key`, in that module alone); "in" or "out", the input or output of module `where`; "scale", the attribute of
    that name of module `where`; "zero", start parameter `where` at zero.
    """

    what: str
    where: str
    exponent: float = 0.0
    constant: float = 1.0

    def factor(self, m: float) -> float:
        return self.constant * float(m**self.exponent)


def apply(subject: Subject, changes: Sequence[Change], anatomy: Anatomy) -> Subject:
    """The subject with all changes made."""

    def build(width: int) -> nn.Module:
        model = subject.build(width)
        m = width / subject.base
        setattr(model, M, m)
        for change in changes:
            _TO_MODEL.get(change.what, _nothing)(model, change, m, anatomy)
        return model

    def optimizer(model: nn.Module) -> torch.optim.Optimizer:
        made = subject.optimizer(model)
        settings = [c for c in changes if c.what in ("lr", "eps")]
        return _regrouped(made, model, settings, getattr(model, M)) if settings else made

    return replace(subject, build=build, optimizer=optimizer)


# -- changes of the model --------------------------------------------------------------------------------------------
def _nothing(model: nn.Module, change: Change, m: float, anatomy: Anatomy) -> None:
    pass


def _init(model: nn.Module, change: Change, m: float, anatomy: Anatomy) -> None:
    with torch.no_grad():
        model.get_parameter(change.where).mul_(change.factor(m) if change.what == "init" else 0.0)


def _multiplier(model: nn.Module, change: Change, m: float, anatomy: Anatomy) -> None:
    held = (change.where,) if ":" in change.where else anatomy.owners[change.where]
    for place in held:
        path, key = place.split(":")
        caller = path
        while caller not in anatomy.called:  # its weights are read by a module around it
            caller = caller.rpartition(".")[0]
        _scale_while_called(model.get_submodule(path), key, model.get_submodule(caller), change.factor(m))


def _scale_while_called(holder: nn.Module, key: str, caller: nn.Module, factor: float) -> None:
    """While `caller` runs, `holder.key` is the parameter times `factor`."""
    kept: list[dict[str, Any]] = []

    def before(module: nn.Module, args: Any) -> None:
        kept.append(holder._parameters)
        holder.__dict__[key] = holder._parameters[key] * factor
        holder._parameters = {name: p for name, p in holder._parameters.items() if name != key}

    def after(module: nn.Module, args: Any, output: Any) -> None:
        del holder.__dict__[key]
        holder._parameters = kept.pop()

    caller.register_forward_pre_hook(before)
    caller.register_forward_hook(after, prepend=True)  # what was swapped last is put back first


def _constant(model: nn.Module, change: Change, m: float, anatomy: Anatomy) -> None:
    factor, module = change.factor(m), model.get_submodule(change.where)
    if change.what == "in":
        module.register_forward_pre_hook(lambda module, args: (args[0] * factor, *args[1:]))
    else:
        module.register_forward_hook(lambda module, args, output: output * factor)


def _scale(model: nn.Module, change: Change, m: float, anatomy: Anatomy) -> None:
    module = model.get_submodule(change.where)
    module.scale = module.scale * change.factor(m)


_TO_MODEL: dict[str, Callable[[nn.Module, Change, float, Anatomy], None]] = {
    "init": _init, "zero": _init, "multiplier": _multiplier, "in": _constant, "out": _constant, "scale": _scale,
}  # fmt: skip


# -- changes of the optimizer ----------------------------------------------------------------------------------------
def _regrouped(
    made: torch.optim.Optimizer, model: nn.Module, settings: Sequence[Change], m: float
) -> torch.optim.Optimizer:
    """One group per parameter; where the learning rate changes, lr · weight decay stays what it was."""
    names = {id(p): name for name, p in model.named_parameters()}
    groups = []
    for group in made.param_groups:
        options = {key: value for key, value in group.items() if key not in ("params", "initial_lr")}
        for p in group["params"]:
            own = dict(options)
            for change in settings:
                if change.where != names[id(p)]:
                    continue
                if change.what == "eps":
                    own["eps"] = own.get("eps", 0.0) * change.factor(m)
                else:
                    own["lr"] *= change.factor(m)
                    own["weight_decay"] /= change.factor(m)
            groups.append({**own, "params": [p]})
    cls: Callable[..., torch.optim.Optimizer] = type(made)
    return cls(groups, lr=made.defaults["lr"])
