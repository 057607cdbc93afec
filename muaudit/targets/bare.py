"""Models for their modules and shapes alone: on the meta device, where nothing is drawn.

Drawing there goes through torch's reference functions in Python, which import its compiler and sympy: that takes longer
than importing torch itself, and there are no values that could be drawn.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

_FILLS = {
    getattr(torch.Tensor, name)
    for name in (
        "bernoulli_", "cauchy_", "exponential_", "geometric_", "log_normal_", "normal_", "random_", "uniform_",
    )
}  # fmt: skip
_EMPTY: Mapping[Any, Callable[..., torch.Tensor]] = {
    torch.rand: torch.empty, torch.randn: torch.empty,
    torch.rand_like: torch.empty_like, torch.randn_like: torch.empty_like,
}  # fmt: skip


_COUNTED = (torch.linspace, torch.arange, torch.tensor)
"""What makes numbers that a constructor may read: rates of dropout that rise from layer to layer."""
_MOST = 1 << 22
"""Of such numbers in one tensor: a table of all pairs of places in a window that was doubled would be gigabytes."""


class TooManyNumbersError(Exception):
    """What is counted out became a table that is large by itself: with values the whole model would be."""


@contextmanager
def without_values(counted: bool = False) -> Iterator[None]:
    """Build on the meta device; what is made on another one by name gets its values.

    counted: so does what is counted out, `torch.linspace(0, rate, depth)`.
    """
    with torch.device("meta"), _NothingDrawn(counted):
        yield


class _NothingDrawn(TorchFunctionMode):
    """Random numbers for tensors without values are left out."""

    def __init__(self, counted: bool) -> None:
        super().__init__()
        self.counted = counted

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = dict(kwargs or {})
        if self.counted and func in _COUNTED and given.get("device") is None:
            return func(*args, **{**given, "device": "cpu"})
        if func in _FILLS or getattr(func, "__module__", None) == "torch.nn.init":
            filled = args[0] if args else given.get("tensor")
            if isinstance(filled, torch.Tensor) and filled.is_meta:
                return filled
        elif func in _EMPTY and given.get("out") is None and given.get("device") is None:
            given.pop("generator", None)
            if func in (torch.rand, torch.randn) or (args and args[0].is_meta):
                return _EMPTY[func](*args, **given)
        if self.counted:
            _refuse_many([each.shape for each in args if isinstance(each, torch.Tensor) and not each.is_meta])
        return func(*args, **dict(kwargs or {}))


def _refuse_many(shapes: Sequence[torch.Size]) -> None:
    """Raise where tensors with values would be made one with more than `_MOST` entries."""
    whole: tuple[int, ...] = ()
    with suppress(RuntimeError):
        whole = torch.broadcast_shapes(*shapes) if len(shapes) > 1 else ()  # type: ignore[no-untyped-call]
    if math.prod(whole) > _MOST:
        raise TooManyNumbersError(f"a tensor of {math.prod(whole)} numbers")
