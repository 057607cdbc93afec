"""Multipliers in the forward pass (TP5, arXiv 2203.03466, section F.4): of the readout, the embeddings, the attention.

The audit says which modules these are; nothing in the model's code changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn

from ..convert.plannable import analyse
from ..errors import UserError
from ..plan.apply import Multiplier
from ..plan.attention_scale import LogitScale
from ..targets.probe import Target


@dataclass(frozen=True)
class Places:
    """The modules that hold readouts, embeddings (or whatever takes the input in) and attention."""

    readout: tuple[str, ...]
    embedding: tuple[str, ...]
    attention: tuple[str, ...]


def find_places(target: Target) -> Places:
    """Ask the audit. Raises UserError where the target cannot be analysed."""
    found: dict[str, dict[str, None]] = {"output": {}, "input": {}, "attention": {}}
    for use in analyse(target).ideal.uses:
        role = "attention" if use.kind == "attention" else use.role
        matrix = use.kind != "tensor" or use.e_in > 0 or use.e_out > 0
        if role in found and matrix and (use.kind == "tensor") == (role != "attention"):
            found[role][use.value.op.module or ""] = None
    return Places(*(tuple(found[role]) for role in ("output", "input", "attention")))


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
