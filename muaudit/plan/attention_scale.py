"""A multiplier of attention logits from outside: whatever softmax a module calls reads them multiplied."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from ..errors import UserError


class LogitScale(TorchFunctionMode):
    """Multiplies what attention takes the softmax of, while its module runs. path: the module's name, for messages."""

    def __init__(self, scale: float, path: str) -> None:
        super().__init__()
        self.scale, self.path, self.seen = scale, path, False

    def install(self, module: nn.Module) -> None:
        """Active from the module's entry to its exit, errors included."""
        module.register_forward_pre_hook(self._enter)
        module.register_forward_hook(self._leave, always_call=True)

    def _enter(self, module: nn.Module, args: Any) -> None:
        self.seen = False
        self.__enter__()  # type: ignore[no-untyped-call]

    def _leave(self, module: nn.Module, args: Any, output: Any) -> None:
        self.__exit__(None, None, None)  # type: ignore[no-untyped-call]
        if not self.seen and output is not None:
            raise UserError(
                f"attention: {self.path} calls neither softmax nor scaled_dot_product_attention of torch, so its "
                "logits are out of reach",
                "put the multiplier into its source",
            )

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        change = _CHANGES.get(func)
        if change is not None:
            self.seen = True
            args, kwargs = change(args, kwargs, self.scale)
        return func(*args, **kwargs)


Call = tuple[tuple[Any, ...], dict[str, Any]]


def _scaled(name: str) -> Callable[[tuple[Any, ...], dict[str, Any], float], Call]:
    """Multiply the first argument, which is called `name`."""

    def change(args: tuple[Any, ...], kwargs: dict[str, Any], scale: float) -> Call:
        if args:
            return (args[0] * scale, *args[1:]), kwargs
        return args, {**kwargs, name: kwargs[name] * scale}

    return change


def _scaled_query(args: tuple[Any, ...], kwargs: dict[str, Any], scale: float) -> Call:
    """torch's own attention module hides its softmax: multiply what its queries come out of."""
    found = inspect.signature(F.multi_head_attention_forward).bind(*args, **kwargs).arguments
    size = found["query"].shape[-1]
    for name in ("in_proj_weight", "in_proj_bias"):
        if found.get(name) is not None:
            found[name] = torch.cat([found[name][:size] * scale, found[name][size:]])
    if found.get("q_proj_weight") is not None:
        found["q_proj_weight"] = found["q_proj_weight"] * scale
    return (), found


_CHANGES: dict[Any, Callable[[tuple[Any, ...], dict[str, Any], float], Call]] = {
    F.scaled_dot_product_attention: _scaled("query"),
    F.multi_head_attention_forward: _scaled_query,
    **dict.fromkeys((F.softmax, torch.softmax, torch.Tensor.softmax), _scaled("input")),
}
