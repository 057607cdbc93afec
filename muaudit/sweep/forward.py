"""Multipliers in the forward pass (TP5, arXiv 2203.03466, section F.4): of the readout, the embeddings, the attention.

The audit says which modules these are; nothing in the model's code changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from ..convert.analyse import analyse
from ..convert.apply import Multiplier
from ..errors import UserError
from ..target.probe import Target

_SOFTMAX = (F.softmax, torch.softmax, torch.Tensor.softmax)


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
        modules = [module for path, module in model.named_modules() if path and path in where]
        if not modules:
            raise UserError(f"--hp {name}: no module of this model is its {name}", "put the multiplier into its source")
        for module in modules:
            if name == "attention":
                _Attention(value).install(module)
            elif name == "readout":
                module.register_forward_pre_hook(Multiplier(value).input, with_kwargs=True)
            else:
                module.register_forward_hook(Multiplier(value).output)


class _Attention(TorchFunctionMode):
    """Multiplies what attention takes the softmax of, while its module runs."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def install(self, module: nn.Module) -> None:
        """Active from the module's entry to its exit, errors included."""
        module.register_forward_pre_hook(self._enter)
        module.register_forward_hook(self._leave, always_call=True)

    def _enter(self, module: nn.Module, args: Any) -> None:
        self.__enter__()  # type: ignore[no-untyped-call]

    def _leave(self, module: nn.Module, args: Any, output: Any) -> None:
        self.__exit__(None, None, None)  # type: ignore[no-untyped-call]

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func is F.scaled_dot_product_attention:
            args, kwargs = self._scaled(args, kwargs, "query")
        elif func in _SOFTMAX:
            args, kwargs = self._scaled(args, kwargs, "input")
        return func(*args, **kwargs)

    def _scaled(self, args: Any, kwargs: dict[str, Any], name: str) -> tuple[Any, dict[str, Any]]:
        if args:
            return (args[0] * self.scale, *args[1:]), kwargs
        return args, {**kwargs, name: kwargs[name] * self.scale}
