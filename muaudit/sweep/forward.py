"""Where hyperparameters of some layers act (TP5, arXiv 2203.03466, sections F.1 to F.4).

Multipliers in the forward pass are those of the readout, the embeddings and the attention; learning rates of their own
have the embeddings, gains and biases.

The audit says which modules and parameters these are; nothing in the model's code changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from ..convert.plannable import analyse
from ..errors import UserError
from ..plan.apply import Multiplier
from ..plan.attention_scale import LogitScale
from ..program.use import Use
from ..targets.probe import Target
from .split_groups import split_off


@dataclass(frozen=True)
class Places:
    """The modules that hold readouts, embeddings (or whatever takes the input in) and attention; the parameters that
    are embeddings, gains and biases."""

    readout: tuple[str, ...]
    embedding: tuple[str, ...]
    attention: tuple[str, ...]
    embedding_lr: tuple[str, ...] = ()
    gain_lr: tuple[str, ...] = ()
    bias_lr: tuple[str, ...] = ()


def find_places(target: Target) -> Places:
    """Ask the audit. Raises UserError where the target cannot be analysed."""
    found: dict[str, dict[str, None]] = {"output": {}, "input": {}, "attention": {}}
    trained: dict[str, dict[str, None]] = {"embedding_lr": {}, "gain_lr": {}, "bias_lr": {}}
    for use in analyse(target).ideal.uses:
        if use.tensor and (knob := _rate_of(use)):
            trained[knob][use.tensor] = None
        role = "attention" if use.kind == "attention" else use.role
        matrix = use.kind != "tensor" or use.e_in > 0 or use.e_out > 0
        if role in found and matrix and (use.kind == "tensor") == (role != "attention"):
            found[role][use.value.op.module or ""] = None
    return Places(*(tuple(found[role]) for role in ("output", "input", "attention")), *map(tuple, trained.values()))


def _rate_of(use: Use) -> str:
    """Which of the learning rates a parameter's use goes by; none for matrices. A gain or a bias need not grow."""
    if use.role in ("input", "positional"):
        return "embedding_lr"
    if use.role == "gain" or (use.role == "scalar" and use.value.kind == "mul"):
        return "gain_lr"
    return "bias_lr" if use.role == "bias" or (use.role == "scalar" and use.value.kind == "join") else ""


def install(model: nn.Module, places: Places, values: Mapping[str, float]) -> None:
    """Hang the multipliers on the modules. Raises UserError where the model has none for one of them."""
    for name, value in values.items():
        where = getattr(places, name)
        modules = {path: module for path, module in model.named_modules() if path and path in where}
        if not modules:
            raise UserError(f"--hp {name}: no module of this model is its {name}", "put the multiplier into its source")
        for path, module in modules.items():
            if name == "attention":
                LogitScale(value, path).install(module)
            elif name == "readout":
                module.register_forward_pre_hook(Multiplier(value).input, with_kwargs=True)
            else:
                module.register_forward_hook(Multiplier(value).output)


def set_rates(optimizer: torch.optim.Optimizer, model: nn.Module, places: Places, values: Mapping[str, float]) -> None:
    """Multiply the learning rates of some parameters, in groups of their own. Raises UserError where there are none."""
    parameters = dict(model.named_parameters(remove_duplicate=False))
    for name, value in values.items():
        chosen = {id(parameters[each]) for each in getattr(places, name) if each in parameters}
        if not chosen:
            raise UserError(f"--hp {name}: no parameter of this model is one of these", "leave it out")
        for group in list(optimizer.param_groups):
            if (own := split_off(optimizer, group, chosen)) is not None:
                own["lr"] = own["lr"] * value
