"""The default device: user code may set it, and what muaudit itself computes must not land there."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


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
