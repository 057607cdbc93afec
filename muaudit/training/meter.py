"""Sizes of activations during a forward pass, kept on the device until the run is over.

Every call of a module is one activation (`name`, `name#1` for its second call), and so is the input of every softmax
inside a module that attends; for fused attention q·k is computed beside it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

_SOFTMAX = (F.softmax, torch.softmax, torch.Tensor.softmax)
_FUSED = F.scaled_dot_product_attention
OUTPUT = "output"


class Meter(TorchFunctionMode):
    """Hooks on every module plus a function mode for softmax; active inside `with meter.step(t):`."""

    def __init__(self, model: nn.Module, step_count: int) -> None:
        super().__init__()
        self.step = 0
        self.steps = step_count
        self.sizes: dict[str, int] = {}
        self.modules: dict[str, str] = {}
        self.from_softmax: set[str] = set()
        self._scalars: list[torch.Tensor] = []
        self._places: list[tuple[str, int, int, float]] = []
        self._first: dict[str, torch.Tensor] = {}
        self._calls: dict[str, int] = {}
        self._stack: list[str] = []
        self._open = False
        self._root = OUTPUT if OUTPUT not in dict(model.named_children()) else f"{type(model).__name__} {OUTPUT}"
        self._handles = [handle for name, module in model.named_modules() for handle in self._hook(name, module)]

    def _hook(self, name: str, module: nn.Module) -> list[Any]:
        def enter(_: nn.Module, args: Any) -> None:
            if self._open:
                self._stack.append(name)

        def leave(_: nn.Module, args: Any, output: Any) -> None:
            if not self._open:
                return  # checkpointed blocks run again in the backward pass
            if self._stack:
                self._stack.pop()
            found = (value for value in tensors(output) if value.is_floating_point() and value.numel() > 1)
            if name == "":
                for index, value in enumerate(found):
                    self._record(f"{self._root}[{index}]" if index else self._root, "", value)
                return
            call = self._calls.get(name, 0)
            self._calls[name] = call + 1
            first = next(found, None)
            if first is not None:
                self._record(f"{name}#{call}" if call else name, name, first)

        return [module.register_forward_pre_hook(enter), module.register_forward_hook(leave)]

    # -- one forward pass --------------------------------------------------------------------------------------

    def at(self, step: int) -> Meter:
        """The context for the forward pass after `step` updates."""
        self.step = step
        return self

    def __enter__(self) -> Meter:
        self._calls, self._stack, self._open = {}, [], True
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *exc: Any) -> None:
        self._open = False
        super().__exit__(*exc)  # type: ignore[no-untyped-call]

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self._open and self._stack and self._stack[-1] and (func is _FUSED or func in _SOFTMAX):
            self._open = False
            try:
                with torch.no_grad():
                    self._attention(func, args, kwargs)
            finally:
                self._open = True
        return func(*args, **kwargs)

    def _attention(self, func: Any, args: Any, kwargs: Mapping[str, Any]) -> None:
        module = self._stack[-1]
        scores = _scores(*args, **kwargs) if func is _FUSED else (args[0] if args else kwargs["input"])
        if not isinstance(scores, torch.Tensor) or not scores.is_floating_point() or scores.dim() < 3:
            return
        call = self._calls.get(f"{module}.logits", 0)
        self._calls[f"{module}.logits"] = call + 1
        name = f"{module}.logits" + "'" * call
        self.from_softmax.add(name)
        self._record(name, module, scores, masked=True)

    # -- statistics --------------------------------------------------------------------------------------------

    def _record(self, name: str, module: str, value: torch.Tensor, masked: bool = False) -> None:
        value = value.detach()
        with torch.no_grad():
            count: torch.Tensor | None = None
            if masked:  # what a mask hides is a huge negative number
                seen = value > -1e4 * max(1.0, math.sqrt(value.shape[-1]))
                value, count = value.masked_fill(~seen, 0.0), seen.sum()
            self.modules[name] = module
            self.sizes[name] = value.numel()
            self._norms(name, 0, value, count)
            first = self._first.get(name)
            if first is None:
                self._first[name] = value.clone()
            elif first.shape == value.shape and self.step > 0:
                self._norms(name, 2, value - first, count)

    def _norms(self, name: str, column: int, value: torch.Tensor, count: torch.Tensor | None) -> None:
        accumulate = torch.promote_types(value.dtype, torch.float32)
        for offset, order in enumerate((2, 1)):
            norm = torch.linalg.vector_norm(value, order, dtype=accumulate)
            if count is not None:
                norm = norm / (count.sqrt() if order == 2 else count)
            scale = 1.0 if count is not None else 1.0 / (math.sqrt(value.numel()) if order == 2 else value.numel())
            self.add(name, column + offset, norm, scale)

    def add(self, name: str, column: int, scalar: torch.Tensor, scale: float = 1.0) -> None:
        """Keep one number of the current step, to be multiplied by `scale` once it is off the device."""
        self._scalars.append(scalar.detach().reshape(()))
        self._places.append((name, column, self.step, scale))

    def close(self) -> Iterator[tuple[str, int, int, float]]:
        """Remove the hooks, fetch everything in one transfer: (name, column, step, number)."""
        for handle in self._handles:
            handle.remove()
        self._first.clear()
        if not self._scalars:
            return
        wide = torch.float32 if self._scalars[0].device.type == "mps" else torch.float64
        numbers = torch.stack([scalar.to(wide) for scalar in self._scalars]).tolist()
        for (name, column, step, scale), number in zip(self._places, numbers, strict=True):
            yield name, column, step, number * scale


def _scores(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> torch.Tensor:
    """What a fused attention takes the softmax of."""
    if enable_gqa and key.dim() > 2:
        key = key.repeat_interleave(query.size(-3) // key.size(-3), dim=-3)
    scores = query @ key.transpose(-2, -1) * (query.size(-1) ** -0.5 if scale is None else scale)
    if is_causal:
        seen = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
        scores = scores.masked_fill(~seen, float("-inf"))
    if attn_mask is not None:
        scores = scores.masked_fill(~attn_mask, float("-inf")) if attn_mask.dtype == torch.bool else scores + attn_mask
    return scores


def tensors(value: Any, depth: int = 0) -> Iterator[torch.Tensor]:
    """All tensors in nested containers, in order."""
    if isinstance(value, torch.Tensor):
        yield value
    elif depth <= 4 and isinstance(value, Mapping):
        for item in value.values():
            yield from tensors(item, depth + 1)
    elif depth <= 4 and isinstance(value, (list, tuple)):
        for item in value:
            yield from tensors(item, depth + 1)
