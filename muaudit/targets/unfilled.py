"""Parameters that are made without values, `torch.empty(n)`, and never given any: what is in them is chance."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from muaudit.errors import UserError
from muaudit.findings.names import pattern_of
from muaudit.visible import visible

_SHOWN = 6
_EMPTY = ("empty", "empty_like", "empty_strided", "empty_permuted", "new_empty", "new_empty_strided")
Build = Callable[[Mapping[str, int], int], nn.Module]


def filled(build: Build, sizes: Mapping[str, int]) -> tuple[Build, nn.Module, tuple[str, ...]]:
    """`build` with zeros where a model is left to chance, the first model, and the patterns of such parameters.

    Raises UserError where that is most of the model: nothing that runs through it would say anything.
    """
    model, left = _watched(build, sizes, 0)
    if not left:
        return build, model, ()
    patterns = tuple(dict.fromkeys(map(pattern_of, left)))
    parameters = dict(model.named_parameters())
    if 2 * sum(parameters[name].numel() for name in left) > sum(each.numel() for each in parameters.values()):
        shown = ", ".join(map(visible, patterns[:_SHOWN])) + (", ..." if len(patterns) > _SHOWN else "")
        raise UserError(
            f"nothing gives most parameters values: {shown} hold what torch.empty leaves there",
            "initialize them in the constructor, or name the method that does: --init METHOD",
        )
    return (lambda at, seed: _watched(build, at, seed)[0]), model, patterns


def _watched(build: Build, sizes: Mapping[str, int], seed: int) -> tuple[nn.Module, list[str]]:
    with _Empty() as empty:
        model = build(sizes, seed)
    trained = ((name, each) for name, each in model.named_parameters() if each.requires_grad)
    return model, [name for name, each in trained if _storage(each) in empty.storages and not each.detach().any()]


class _Empty(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """While it is on, what is made empty is filled with zeros, and remembered until something is written to it.

    storages: by their addresses, and held so that no other one comes to have such an address.
    """

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # torch would otherwise import torch._dynamo, which takes longer than the whole audit

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.storages: dict[int, torch.UntypedStorage] = {}

    def __torch_dispatch__(
        self, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = kwargs or {}
        out = func(*args, **given)
        if func.overloadpacket.__name__ in _EMPTY:
            if type(out) is torch.Tensor and _storage(out):
                out.zero_()
                self.storages[_storage(out)] = out.untyped_storage()
        elif self.storages and func._schema.is_mutable:
            for each in _written(func._schema.arguments, args, given):
                self.storages.pop(_storage(each), None)
        return out


def _written(arguments: Iterable[Any], args: tuple[Any, ...], given: Mapping[str, Any]) -> Iterator[Any]:
    """The tensors that an operation writes to."""
    for place, argument in enumerate(arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            held = args[place] if place < len(args) else given.get(argument.name)
            yield from held if isinstance(held, (list, tuple)) else (held,)


def _storage(tensor: Any) -> int:
    """The address of what a tensor holds; 0 where it holds nothing, as without a device or a shape."""
    try:
        return int(tensor.untyped_storage().data_ptr())
    except (AttributeError, NotImplementedError, RuntimeError, ValueError):
        return 0
