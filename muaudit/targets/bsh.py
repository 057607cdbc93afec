"""Targets that come with microsoft/mup's base shape file: read here, and set by the library where the model uses it."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from ..errors import UserError
from ..reading import Malformed, parse_yaml, read_text
from .devices import same_device
from .trial import Sizes, Variant
from .usercode import attempt

BaseShapes = Mapping[str, tuple[int | None, ...]]
"""By parameter: for every dim its base size, or None where it is no width."""


def read_bsh(path: Path) -> dict[str, tuple[int | None, ...]]:
    """Read a base shape file.

    Raises:
        UserError: it cannot be read, or is none.
    """
    text = read_text(path, "mup.make_base_shapes writes one")
    try:
        data = parse_yaml(text)
    except Malformed as error:
        raise UserError(f"{path} is no base shape file: it is not YAML", str(error)) from error
    if not isinstance(data, dict) or not all(_is_shape(dims) for dims in data.values()):
        raise UserError(f"{path} is no base shape file", "expected parameter names with lists of sizes and nulls")
    return {str(name).removeprefix("module."): tuple(dims) for name, dims in data.items()}


def _is_shape(dims: object) -> bool:
    return isinstance(dims, list) and all(
        dim is None or (isinstance(dim, int) and not isinstance(dim, bool) and dim > 0) for dim in dims
    )


def based(variants: Iterable[Variant], path: Path) -> Iterator[Variant]:
    """The same variants, their models with base shapes set."""
    shapes = read_bsh(path)
    for variant in variants:
        yield replace(variant, build=_setting(variant.build, shapes, path))


def wants_base_shapes(message: str) -> bool:
    """Whether user code failed as the library's readout does without base shapes."""
    return "mup" in sys.modules and "set_base_shapes" in message


def based_on_probes(variants: Iterable[Variant]) -> Iterator[Variant]:
    """The same variants; where a model has the library's readout and nobody set its base shapes, they are set here.

    What grows is what differs between the two smallest probes, the first of which is the base. A training script does
    this after the model is made, which no model file shows; without, the library's readout refuses to run.
    """
    for variant in variants:
        yield _own_shapes(variant)


def _own_shapes(variant: Variant) -> Variant:
    library = sys.modules["mup"]
    base, delta = ({axis.name: axis.probes[place] for axis in variant.axes} for place in (0, 1))
    shapes: list[Any] = []
    with attempt(), same_device(), suppress(Exception):  # what cannot be built is tried again, and said then
        models = [variant.build(sizes) for sizes in (base, delta)]
        shapes = [library.get_shapes(model) for model in models if _lacks_shapes(model, library)]
    if len(shapes) < 2:
        return variant

    def build(sizes: Sizes) -> Any:
        model = variant.build(sizes)
        if _lacks_shapes(model, library):
            library.set_base_shapes(model, dict(shapes[0]), delta=dict(shapes[1]))
        return model

    width = ", ".join(f"{name} = {size}" for name, size in base.items())
    note = f"nobody sets the base shapes that mup's readout wants: set here, base {width}"
    again = "--init METHOD initializes it after that once more, where the training script does"
    return replace(variant, build=build, notes=(*variant.notes, f"{note}; {again}"), library=True)


def _lacks_shapes(model: Any, library: Any) -> bool:
    if not isinstance(model, nn.Module) or not any(isinstance(each, library.MuReadout) for each in model.modules()):
        return False
    return not any(hasattr(parameter, "infshape") for parameter in model.parameters())


def _setting(build: Callable[[Sizes], Any], shapes: BaseShapes, path: Path) -> Callable[[Sizes], Any]:
    def built(sizes: Sizes) -> Any:
        model = build(sizes)
        if isinstance(model, nn.Module):
            _set(model, shapes, path)
        return model

    return built


def _set(model: nn.Module, shapes: BaseShapes, path: Path) -> None:
    """What a training script does with the file. A model that does without the library is left as it is."""
    own = {name: parameter.dim() for name, parameter in model.named_parameters()}
    given = {name: len(dims) for name, dims in shapes.items()}
    if own != given:
        names = [name for name in dict.fromkeys([*own, *given]) if own.get(name) != given.get(name)]
        raise UserError(
            f"{path} is for another model: {names[0]} differs", "muaudit convert --emit-bsh writes the right"
        )
    library = sys.modules.get("mup")
    unset = not all(hasattr(parameter, "infshape") for parameter in model.parameters())
    if library is not None and unset and _uses_it(model):
        library.set_base_shapes(model, str(path))


def _uses_it(model: nn.Module) -> bool:
    """Whether a module of the model is the library's, or a file that one is defined in has something of it.

    That it is imported does not tell: whatever else runs in the process may have done that.
    """
    homes = {base.__module__ for module in model.modules() for base in type(module).__mro__}
    values = [
        value for home in homes if not home.startswith("torch.") for value in vars(sys.modules.get(home, sys)).values()
    ]
    return any(map(_is_of_it, homes)) or any(
        _is_of_it(str(getattr(each, "__name__" if inspect.ismodule(each) else "__module__", ""))) for each in values
    )


def _is_of_it(home: str) -> bool:
    return home.partition(".")[0] == "mup"
