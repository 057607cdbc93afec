"""The default device: user code may set it, and what muaudit itself computes must not land there.

Code that asks for a GPU where there is none (`.cuda()`, `device="cuda"`) runs on the CPU: what is audited is the model.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_NO_GPU = re.compile(
    r"not compiled with CUDA|No CUDA GPUs|no NVIDIA driver|CUDA driver|not linked with support for cuda"
)
_modes_of_ours: list[Any] = []
_types: dict[str, Any] = {}
"""`torch.cuda.LongTensor` and its like, in whose place those of the CPU stand."""


@contextmanager
def same_device() -> Iterator[None]:
    """Take back a default device, and any other function mode, that the code inside leaves on.

    A model that was built under it stays where it is: one without values is told or initialized like any other.
    """
    before = _modes()
    try:
        yield
    finally:
        torch = sys.modules.get("torch")
        if torch is not None and _modes() > before:
            if getattr(torch._GLOBAL_DEVICE_CONTEXT, "device_context", None) is not None:
                torch.set_default_device(None)
            while _modes() > before:
                torch.overrides._pop_mode()


def _modes() -> int:
    torch = sys.modules.get("torch")
    return int(torch._C._len_torch_function_stack()) if torch is not None else 0


def wants_gpu(message: str) -> bool:
    """Whether code failed for want of a GPU, and may be run on the CPU instead."""
    return not _modes_of_ours and _NO_GPU.search(message) is not None


def on_the_cpu(message: str) -> bool:
    """Whether code failed for want of a GPU, and from here on runs on the CPU instead."""
    import torch

    if torch.accelerator.is_available() or not wants_gpu(message):
        return False

    class _OnTheCpu(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if func is torch.Tensor.cuda:
                return args[0]
            given = {name: _cpu(value) for name, value in (kwargs or {}).items()}
            return func(*map(_cpu, args), **given)

    def _cpu(value: Any) -> Any:
        kind = value.type if isinstance(value, torch.device) else value if isinstance(value, str) else ""
        return "cpu" if kind.partition(":")[0] == "cuda" else value

    names = [name for name in vars(torch.cuda) if name.endswith("Tensor") and hasattr(torch, name)]
    _types.update({name: getattr(torch.cuda, name) for name in names})
    for name in names:
        setattr(torch.cuda, name, getattr(torch, name))
    _modes_of_ours.append(_OnTheCpu())
    _modes_of_ours[0].__enter__()
    return True


def as_it_is() -> None:
    """Code that asks for a GPU fails again where there is none."""
    while _modes_of_ours:
        _modes_of_ours.pop().__exit__(None, None, None)
    while _types:
        setattr(sys.modules["torch"].cuda, *_types.popitem())
