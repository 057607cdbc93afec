"""A device that is none: a backend of its own over data on the CPU, for tests of what runs on accelerators.

It refuses what an accelerator refuses, an operation on its tensors and on those of the CPU at once, and counts what
makes one wait: values that are fetched. Registered for the whole process, so use it in one that ends (`apart`).
"""

from __future__ import annotations

import os
import pickle
import traceback
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch.utils import backend_registration

NAME = "standin"
_FETCHING = ("_local_scalar_dense", "equal", "is_nonzero", "nonzero", "item")


class Waits:
    """What was fetched from the device so far: the operations, and how many entries each."""

    def __init__(self) -> None:
        self.entries: list[int] = []
        self.operations: Counter[str] = Counter()

    def add(self, name: str, entries: int) -> None:
        """Note one."""
        self.entries.append(entries)
        self.operations[name] += 1

    @property
    def count(self) -> int:
        """How often the device was waited for."""
        return len(self.entries)


WAITS = Waits()
RAN: Counter[str] = Counter()
"""How often each operation ran on the device."""


class Held(torch.Tensor):
    """A tensor on the device; `raw` holds its entries."""

    raw: torch.Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, raw: torch.Tensor) -> Held:
        return torch.Tensor._make_wrapper_subclass(  # type: ignore[attr-defined, no-any-return]
            cls, raw.size(), strides=raw.stride(), storage_offset=raw.storage_offset(), dtype=raw.dtype,
            device=torch.device(NAME, 0), requires_grad=False,
        )  # fmt: skip

    def __init__(self, raw: torch.Tensor) -> None:
        self.raw = raw

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(function, *args, **(kwargs or {}))


def register() -> None:
    """Make the device known to torch, once in a process."""
    backend_registration._setup_privateuseone_for_python_backend(NAME)
    library = torch.library.Library("_", "IMPL")
    library.fallback(_run, "PrivateUse1")
    _KEPT.append(library)


_KEPT: list[Any] = []


def _run(function: Any, *args: Any, **kwargs: Any) -> Any:
    """Any operation: on the entries, if all tensors are here."""
    name = function._schema.name.removeprefix("aten::")
    RAN[name] += 1
    every = list(_tensors((args, kwargs)))
    here, others = [t for t in every if isinstance(t, Held)], [t for t in every if not isinstance(t, Held)]
    if name == "copy_":
        return _copy(args[0], args[1])
    if name == "_to_copy":
        return _to_copy(args[0], dict(kwargs))
    strange = [each for each in others if each.dim() and not name.startswith(("index", "_index"))]
    if strange and here:
        raise RuntimeError(f"{name}: expected all tensors on {NAME}, found one of {tuple(strange[0].shape)} on the CPU")
    if name in _FETCHING:
        WAITS.add(name, sum(each.numel() for each in here))
    given = {key: torch.device("cpu") if isinstance(value, torch.device) else value for key, value in kwargs.items()}
    out = function(*_mapped(args, _raw), **_mapped(given, _raw))
    written = {id(each.raw): each for each in here}
    return _mapped(out, lambda raw: written[id(raw)] if id(raw) in written else Held(raw))


def _copy(target: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
    if isinstance(source, Held) and not isinstance(target, Held):
        WAITS.add("copy to the CPU", source.numel())
    _raw(target).copy_(_raw(source))
    return target


def _to_copy(source: torch.Tensor, kwargs: dict[str, Any]) -> torch.Tensor:
    """A copy, of another type or on another device."""
    device = kwargs.pop("device", None) or source.device
    made: torch.Tensor = torch.ops.aten._to_copy.default(_raw(source), **kwargs)
    if device.type == NAME:
        return Held(made)
    if isinstance(source, Held):
        WAITS.add("copy to the CPU", source.numel())
    return made


def _raw(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.raw if isinstance(tensor, Held) else tensor


def _tensors(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from _tensors(each)


def _mapped(value: Any, of: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    if isinstance(value, torch.Tensor):
        return of(value)
    if isinstance(value, dict):
        return {key: _mapped(each, of) for key, each in value.items()}
    return type(value)([_mapped(each, of) for each in value]) if type(value) in (list, tuple) else value


def apart(work: Callable[[], Any]) -> Any:
    """What it returns, in a process of its own that knows the device."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(reading)
            register()
            answer: tuple[str, Any] = ("returned", work())
            code = 0
        except BaseException:
            answer = ("raised", traceback.format_exc())
        with os.fdopen(writing, "wb") as pipe:
            pickle.dump(answer, pipe)
        os._exit(code)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        data = pipe.read()
    os.waitpid(child, 0)
    how, answer = pickle.loads(data)
    if how == "raised":
        raise AssertionError(answer)
    return answer
