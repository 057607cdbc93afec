"""The optimizer a model is trained with: the user's, the model's own method, or a default over all parameters."""

from __future__ import annotations

import difflib
import fnmatch
import functools
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

from muaudit.errors import UserError
from muaudit.optimizers import law_of, named, torch_classes
from muaudit.optimizers.declared import check_kinds, declare
from muaudit.targets.returned import read_returned
from muaudit.targets.sound import check_optimizer
from muaudit.targets.usercode import describe, guarded, quiet

_LR = 1e-3
_METHODS = ("configure_optimizers", "configure_optimizer", "get_optimizer", "build_optimizer", "create_optimizer",
            "make_optimizer", "setup_optimizer", "setup_optimizers")  # fmt: skip
_ARGUMENTS: dict[str, Any] = {
    "weight_decay": 0.1, "wd": 0.1, "learning_rate": _LR, "lr": _LR, "max_lr": _LR, "optimizer": "adamw",
    "betas": (0.9, 0.95), "adam_betas": (0.9, 0.95), "beta1": 0.9, "adam_beta1": 0.9, "beta2": 0.95, "adam_beta2": 0.95,
    "eps": 1e-8, "epsilon": 1e-8, "adam_eps": 1e-8, "adam_epsilon": 1e-8, "momentum": 0.9,
    "device_type": "cpu", "device": "cpu", "fused": False, "use_fused": False, "master_process": False,
    "warmup_steps": 10, "warmup_iters": 10, "max_steps": 100, "total_steps": 100, "num_training_steps": 100,
}  # fmt: skip
_SETTINGS = {
    "betas": ("betas", "adam_betas", "beta1", "adam_beta1", "beta2", "adam_beta2"),
    "eps": ("eps", "epsilon", "adam_eps", "adam_epsilon"), "weight_decay": ("weight_decay", "wd"),
    "momentum": ("momentum",),
}  # fmt: skip
_CONFIGS = ("config", "train_config", "cfg", "args", "training_config", "hparams", "opt_config", "training_args")

Factory = Callable[[nn.Module, Mapping[str, int]], torch.optim.Optimizer]


def spare_dynamo() -> None:
    """Let optimizers be made without importing torch's compiler, which takes as long as importing torch.

    torch wraps `add_param_group` in a lazy `torch._dynamo.disable`; nothing is compiled here, so the plain function
    will do. Where the attribute is not there (another version of torch), nothing changes.
    """
    for name in ("add_param_group", "zero_grad", "state_dict", "load_state_dict"):
        plain = getattr(getattr(torch.optim.Optimizer, name, None), "__wrapped__", None)
        if plain is not None and not hasattr(plain, "__dynamo_disable"):
            setattr(plain, "__dynamo_disable", plain)


def known(name: str) -> str:
    """The optimizer's name in lower case. Raises UserError for one that torch does not have."""
    lowered, all_known = name.lower().replace("_", "-"), torch_classes()
    if lowered not in all_known or not hasattr(torch.optim, all_known[lowered][0]):
        close = difflib.get_close_matches(lowered, all_known, n=1)
        hint = f"did you mean {close[0]}?\n" if close else ""
        raise UserError(f"unknown optimizer {name!r}", f"{hint}known: {', '.join(all_known)}; for any other write "
                        "optimizer(model) in the file")  # fmt: skip
    return lowered


def default(name: str, groups: Sequence[tuple[str, float]], main: str, first: int) -> Factory:
    """The optimizer `name` over all parameters; `groups` scale the learning rate of theirs with the width."""
    cls, extra = torch_classes()[name]
    found = named(cls)
    spectral = found is not None and law_of(found[0].name).spectral

    def make(model: nn.Module, sizes: Mapping[str, int]) -> torch.optim.Optimizer:
        ratio = sizes.get(main, first) / first
        members: dict[float, list[nn.Parameter]] = {}
        for parameter_name, parameter in model.named_parameters():
            if parameter.requires_grad:
                members.setdefault(_LR * ratio ** _exponent(parameter_name, groups), []).append(parameter)
        if spectral:
            _check_matrices(model)
        params = [{"params": parameters, "lr": lr} for lr, parameters in members.items()]
        optimizer: torch.optim.Optimizer = getattr(torch.optim, cls)(params, lr=_LR, **extra)
        return optimizer

    return make


def from_library(model: nn.Module, sizes: Mapping[str, int]) -> torch.optim.Optimizer:
    """The optimizer that goes with the layers of microsoft/mup, where the model's file imports it."""
    made: torch.optim.Optimizer = sys.modules["mup"].MuAdamW(model.parameters(), lr=_LR, weight_decay=0.0)
    return made


def check_groups(groups: Sequence[tuple[str, float]], model: nn.Module) -> None:
    """Raise UserError for a pattern that no parameter matches."""
    parameters = [name for name, _ in model.named_parameters()]
    for pattern, _ in groups:
        if not fnmatch.filter(parameters, pattern):
            shown = "\n".join(f"  {name}" for name in parameters[:12])
            raise UserError(f"--lr-group {pattern!r} matches no parameter", f"parameters are called:\n{shown}")


def declaring(factory: Factory, kinds: Sequence[tuple[str, str]], model: nn.Module) -> Factory:
    """The same optimizer, of which is known what the user says about it. Raises UserError for what fits nothing."""
    check_kinds(kinds, [name for name, _ in model.named_parameters()])

    @functools.wraps(factory)
    def make(model: nn.Module, sizes: Mapping[str, int]) -> torch.optim.Optimizer:
        made = factory(model, sizes)
        declare(made, model, kinds)
        return made

    return make


def from_user(function: Callable[..., Any], where: str) -> Factory:
    """The user's `optimizer(model)`."""

    def make(model: nn.Module, sizes: Mapping[str, int]) -> torch.optim.Optimizer:
        with guarded(f"{where}: optimizer(model)"):
            found = read_returned(function(model))
        if found is None:
            raise UserError(f"{where}: optimizer(model) returned no optimizer", "expected a torch.optim.Optimizer")
        check_optimizer(found, model, f"{where}: optimizer(model)")
        return found

    return _standing_for(function, make)


def from_method(model: nn.Module) -> tuple[Factory | None, str, str]:
    """The model's own method: (factory, name, "") where it can be called, else (None, name, why not)."""
    name = next((each for each in _METHODS if callable(getattr(model, each, None))), None)
    if name is None:
        return None, "", ""

    def make(model: nn.Module, sizes: Mapping[str, int]) -> torch.optim.Optimizer:
        with guarded(f"{name}()"):
            found = _call(getattr(model, name))
        if found is None:
            raise UserError(f"{name}() returned no optimizer")
        check_optimizer(found, model, f"{name}()")
        return found

    try:
        with quiet():
            if _call(getattr(model, name)) is None:
                return None, name, "it returns no torch.optim.Optimizer"
    except Exception as error:
        return None, name, describe(error)
    return _standing_for(getattr(type(model), name, None), make), name, ""


def filled(model: nn.Module, method: str) -> frozenset[str]:
    """The settings of the optimizer that a method of the model asks for, and that an ordinary value was put in for."""
    asked = [name for name, parameter in inspect.signature(getattr(model, method)).parameters.items()
             if parameter.default is parameter.empty]  # fmt: skip
    if any(name in _CONFIGS for name in asked):
        return frozenset(_SETTINGS)
    return frozenset(setting for setting, names in _SETTINGS.items() if any(name in names for name in asked))


def _standing_for(function: Any, make: Factory) -> Factory:
    """`make`, with the user's function behind it, whose lines are shown."""
    return functools.update_wrapper(make, function, (), ()) if inspect.isfunction(function) else make


def _exponent(name: str, groups: Sequence[tuple[str, float]]) -> float:
    return next((exponent for pattern, exponent in groups if fnmatch.fnmatchcase(name, pattern)), 0.0)


def _call(method: Callable[..., Any]) -> torch.optim.Optimizer | None:
    """Call a method with arguments by name. Raises TypeError naming the argument that is not known."""
    arguments: dict[str, Any] = {}
    for name, parameter in inspect.signature(method).parameters.items():
        if parameter.default is not parameter.empty or parameter.kind in (
            parameter.VAR_POSITIONAL,
            parameter.VAR_KEYWORD,
        ):
            continue
        if name in _CONFIGS:
            arguments[name] = SimpleNamespace(**_ARGUMENTS)
        elif name in _ARGUMENTS:
            arguments[name] = _ARGUMENTS[name]
        elif name.endswith("_lr"):
            arguments[name] = _LR
        else:
            raise TypeError(f"no value is known for its argument {name!r}")
    return read_returned(method(**arguments))


def _check_matrices(model: nn.Module) -> None:
    others = [name for name, parameter in model.named_parameters() if parameter.dim() != 2]
    if others:
        raise UserError(f"muon takes matrices only, and {others[0]} is none",
                        "write optimizer(model) in the file, with Muon for the matrices")  # fmt: skip
