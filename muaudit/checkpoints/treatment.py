"""What happens to the values of one tensor while its bytes are in memory."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import torch

from ..errors import UserError
from .stored_tensors import Stored, TensorFactor, spoilt


class Treatment:
    """Scales the chunks of one tensor in place, and refuses what is not finite or no longer there.

    Raises:
        UserError: the tensor is to be scaled and does not hold floating point numbers.
    """

    def __init__(self, path: Path, tensor: Stored, scaling: TensorFactor) -> None:
        self.path, self.name, self.scaling = path, tensor.name, scaling
        self.largest = 0.0
        self.floating = tensor.dtype is not None and tensor.dtype.is_floating_point
        self.dtype = tensor.dtype or torch.uint8
        if scaling.factor != 1.0 and not self.floating:
            shown = _name(tensor.dtype) if tensor.dtype is not None else "one unknown to torch"
            raise spoilt(
                path, f"{tensor.name} must be multiplied by {scaling.factor:.6g}, and its type is {shown}",
                "quantized weights cannot be scaled: start from floating point ones",
            )  # fmt: skip

    def __call__(self, chunk: memoryview, read_again: Callable[[], None]) -> None:
        """Treat one chunk; `read_again` puts back what it was.

        Raises:
            UserError: it holds NaN or infinity, or does so when it is scaled.
        """
        if not self.floating:
            return
        largest = self._scaled(torch.frombuffer(chunk, dtype=self.dtype))
        if not math.isfinite(largest) and self.scaling.checked:
            read_again()
            before = _largest(torch.frombuffer(chunk, dtype=self.dtype))
            what = f"overflows {self._where()}" if math.isfinite(before) else "holds NaN or infinity"
            raise spoilt(self.path, f"{self.name} {what}", "nothing was written")
        self.largest = max(self.largest, largest)

    def finish(self, largest_before: Callable[[], float]) -> None:
        """Refuse a tensor that became too small for its type; `largest_before` says how large it was.

        Raises:
            UserError: it underflowed.
        """
        if not self.floating or self.scaling.factor in (0.0, 1.0) or self.dtype.itemsize == 1:
            return
        tiny = torch.finfo(self.dtype).tiny
        if self.largest < tiny <= largest_before():
            hint = f"convert {self.path} to a wider type first; nothing was written"
            raise UserError(f"{self.name} underflows {self._where()}", hint)

    def _scaled(self, values: torch.Tensor) -> float:
        """Scale in place; the largest size that is there then. Types of one byte are scaled in float32."""
        if self.scaling.factor == 1.0:
            return _largest(values)
        if values.element_size() > 1:
            return _largest(values.mul_(self.scaling.factor))
        return _largest(values.copy_(values.float().mul_(self.scaling.factor)))

    def _where(self) -> str:
        return f"{_name(self.dtype)} when it is multiplied by {self.scaling.factor:.6g}"


def _largest(values: torch.Tensor) -> float:
    """The largest absolute value; NaN where there is one."""
    low, high = torch.aminmax(values.float() if values.element_size() == 1 else values)
    return max(-float(low), float(high)) if math.isfinite(low) and math.isfinite(high) else math.nan


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
