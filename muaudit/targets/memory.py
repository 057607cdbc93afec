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
    """Give the system the memory that is free again, where it is much: the C library keeps it otherwise, in pieces."""
    library = _c_library()
    if library is not None and (not hasattr(library, "mallinfo2") or library.mallinfo2().free > _MUCH):
        library.malloc_trim(0)


def keep_the_heap() -> None:
    """Let the C library keep what is freed, up to `_MUCH`, for the next tensors: to map memory anew takes long."""
    library = _c_library()
    if library is not None:
        library.mallopt(_MMAP_THRESHOLD, _LARGEST)
        library.mallopt(_TRIM_THRESHOLD, _MUCH)


_MUCH = 128 << 20  # bytes
_LARGEST = 32 << 20  # where the C library itself comes to, once tensors of this size have been freed
_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1  # <malloc.h>


class _Heap(ctypes.Structure):
    """`struct mallinfo2`."""

    _fields_ = tuple((name, ctypes.c_size_t) for name in (*"12345678", "free", "top"))


@functools.cache
def _c_library() -> Any:
    """The GNU C library; None where it is another one."""
    library: Any = ctypes.CDLL(None) if sys.platform == "linux" else None
    if not hasattr(library, "malloc_trim"):
        return None
    if hasattr(library, "mallinfo2"):  # from 2.33 on
        library.mallinfo2.restype = _Heap
    return library
