"""Running a model without holding more memory than the run itself needs."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import sys
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import torch
from torch.autograd.graph import saved_tensors_hooks

T = TypeVar("T")


class _NotSavedError(Exception):
    """A gradient was asked for of what `forward_only` runs."""


def forward_only(run: Callable[[], T]) -> T:
    """What `run()` returns, which calls a model that no backward follows: of what that would need nothing is kept.

    A model that takes gradients inside its forward is run once more, under the same random numbers, with all kept.
    """
    asked = False

    def refuse(_: None) -> torch.Tensor:
        nonlocal asked
        asked = True
        raise _NotSavedError("the values for this gradient were not kept")

    random = torch.get_rng_state()
    try:
        with saved_tensors_hooks(lambda tensor: None, refuse):
            found = run()
        if not asked:
            return found
    except Exception as error:
        if not asked and "saved tensor hooks" not in str(error):  # torch.func wants none around it
            raise
    torch.set_rng_state(random)
    return run()


@contextlib.contextmanager
def kept() -> Iterator[None]:
    """Inside, gradients can be taken within `forward_only` of what is computed inside."""
    with saved_tensors_hooks(lambda tensor: tensor, lambda tensor: tensor):
        yield


def give_back() -> None:
    """Give the system the memory that is free again: the C library keeps it otherwise, in pieces."""
    if (trim := _trim()) is not None:
        trim(0)


@functools.cache
def _trim() -> Any:
    """The C library's own `malloc_trim`; None where it has none."""
    return getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
