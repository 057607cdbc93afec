"""What an argument sizes: which parameters grow with it, tried on models without values."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from muaudit.targets.usercode import attempt

Construct = Callable[[Mapping[str, Any]], Any]
Shapes = dict[str, tuple[int, ...]]


_GROWN = 1.5
"""What doubles is rounded at most to this: a multiple that sizes are rounded to changes them by less."""


_HEAD = 8
"""The least size of a head."""


@dataclass(frozen=True)
class Reach:
    """How many parameters an argument makes matrix-like, and whether others make and read what it sizes.

    sizes: whether any parameter has another shape with it. A base width, which sizes are divided by, sizes none.
    ends: whether what it sizes is read by the first layers and made by the last ones alone, as data are.
    """

    matrices: int
    through: bool
    sizes: bool = True
    ends: bool = False

    @property
    def hidden(self) -> bool:
        """Whether hidden layers may grow with it: image channels are read and never made, classes made and not read."""
        return self.matrices > 0 or self.through


def reach(construct: Construct, values: Mapping[str, Any], name: str) -> Reach | None:
    """Double one argument, and compare all shapes. None where the model cannot be built like that.

    Of a table that is looked up, the columns are made; its rows are a vocabulary, which nothing makes or reads.
    """
    made_narrow = _made(construct, values, bare=False)
    narrow, wide = _shapes(made_narrow), shapes(construct, {**values, name: _doubled(values[name])})
    if narrow is None or wide is None:
        return None
    tables = _tables(made_narrow)
    common = [(shape, wide[key]) for key, shape in narrow.items() if len(shape) == len(wide.get(key, ()))]
    changed = [[place for place, (a, b) in enumerate(zip(*pair, strict=True)) if b != a] for pair in common]
    grown = [[place for place, (a, b) in enumerate(zip(*pair, strict=True)) if b >= _GROWN * a] for pair in common]
    if 2 * sum(map(len, grown)) < sum(map(len, changed)):
        return Reach(0, False)
    keys = [key for key, shape in narrow.items() if len(shape) == len(wide.get(key, ()))]
    weights = [([0] if 1 in places else []) if key in tables else places
               for key, places in zip(keys, grown, strict=True) if len(narrow[key]) > 1]  # fmt: skip
    first = any(places == [0] for places in weights)
    later = any(places and min(places) == 1 for places in weights)  # not the length of a kernel
    sizes = any(changed) or narrow.keys() != wide.keys()
    matrices = [places for places in weights if len(places) > 1 and min(places) < 2]  # not the sides of a kernel
    made = [at for at, places in enumerate(weights) if places == [0]]
    read = [at for at, places in enumerate(weights) if places and min(places) == 1]
    return Reach(len(matrices), first and later, sizes, bool(made and read) and max(read) < min(made) and not matrices)


def sizes_layers(construct: Construct, values: Mapping[str, Any], name: str) -> bool:
    """Whether a count makes layers wide, as that of heads does whose size is their own.

    Tables and scales with one entry a head are as large as the count itself. Where each head is a module of its own,
    more of them are another model, and no wider one.
    """
    narrow, wide = shapes(construct, values), shapes(construct, {**values, name: 2 * values[name]})
    if narrow is None or wide is None or narrow.keys() != wide.keys():
        return False
    pairs = [(shape, wide[key]) for key, shape in narrow.items() if len(shape) > 1]
    return any(
        2 * a == b and a >= _HEAD * values[name]
        for shape, other in pairs for a, b in zip(shape[:2], other[:2], strict=False)
    )  # fmt: skip


def count(construct: Construct, values: Mapping[str, Any], bare: bool = False) -> int:
    """How many parameters the model has; 0 where it cannot be built like that. bare: on the meta device alone."""
    return sum(math.prod(shape) for shape in (shapes(construct, values, bare) or {}).values())


def data_ends(construct: Construct, values: Mapping[str, Any], name: str) -> tuple[bool, bool]:
    """Whether a list begins with what is read and never made, and whether it ends with what is made and never read.

    Its first and last entry must be sizes that nothing else has. Neither where the model cannot be built like that.
    """
    found = shapes(construct, values) or {}
    made, read = ({shape[side] for shape in found.values() if len(shape) > 1} for side in (0, 1))
    return values[name][0] in read - made, values[name][-1] in made - read


def _doubled(value: Any) -> Any:
    return [2 * each for each in value] if isinstance(value, (list, tuple)) else 2 * value


def shapes(construct: Construct, values: Mapping[str, Any], bare: bool = False) -> Shapes | None:
    """The shapes of a model's parameters: on the meta device, or with values where its constructor needs them.

    bare: not with values.
    """
    return _shapes(_made(construct, values, bare))


def _shapes(model: Any) -> Shapes | None:
    return {name: tuple(each.shape) for name, each in model.named_parameters()} if model is not None else None


def _tables(model: Any) -> set[str]:
    """The parameters of a model that are tables to look up in."""
    import torch

    kinds = (torch.nn.Embedding, torch.nn.EmbeddingBag)
    return {f"{name}.weight" if name else "weight" for name, each in model.named_modules() if isinstance(each, kinds)}


def held(construct: Construct, values: Mapping[str, Any]) -> int:
    """How many numbers a model holds: parameters, buffers, and tensors kept otherwise, as caches are.

    0 where that cannot be told without making them.
    """
    import torch

    model = _made(construct, values, bare=True)
    kept = [] if model is None else [value for module in model.modules() for value in vars(module).values()]
    tensors = [value for value in kept if isinstance(value, torch.Tensor)]
    if model is not None:
        tensors += [*model.parameters(), *model.buffers()]
    return sum(each.numel() for each in {id(each): each for each in tensors}.values())


def _made(construct: Construct, values: Mapping[str, Any], bare: bool) -> Any:
    import torch

    from muaudit.targets.bare import TooManyNumbersError, without_values

    places: list[AbstractContextManager[Any]] = [without_values(), without_values(counted=True)]
    for place in [*places, *([] if bare else [torch.device("cpu")])]:
        try:
            with attempt(), place:
                model = construct(values)
            next(model.named_parameters(), None)
            return model
        except TooManyNumbersError:
            return None
        except Exception:
            continue
    return None
