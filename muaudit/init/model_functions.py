"""Functions that build a model from a width: `def MLPMixer(*, image_size, dim, depth, num_classes)`."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

from muaudit.targets import argnames
from muaudit.targets.options import InputSpec, TargetOptions

_PROBES = (64, 128)


def factories(module: ModuleType) -> Iterator[tuple[str, TargetOptions]]:
    """The module's own functions with an argument for the width, and the options that would drive them.

    Left out are those that want something about which nothing is known.
    """
    for name, value in vars(module).items():
        own = inspect.isfunction(value) and value.__module__ == module.__name__
        if own and not name.startswith("_") and name != "forward":
            options = _options(value)
            if options is not None:
                yield name, options


def _options(function: Any) -> TargetOptions | None:
    parameters = [
        each for each in inspect.signature(function).parameters.values()
        if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)
    ]  # fmt: skip
    width = _width([each.name for each in parameters])
    guessed = {each.name: _guess(each.name) for each in parameters if each.default is each.empty and each.name != width}
    if not width or None in guessed.values():
        return None
    return TargetOptions(widths={width: _PROBES}, set=guessed, inputs=_images(guessed))


def _width(arguments: list[str]) -> str:
    ranked = [(argnames.rank(name, argnames.WIDTH), name) for name in arguments]
    return min(((rank, name) for rank, name in ranked if rank is not None), default=(0, ""))[1]


def _images(values: Mapping[str, object]) -> dict[str, InputSpec]:
    """A batch of images, where the function asks for their size; elsewhere the input is found as for any target."""
    side = next((values[name] for name in values if argnames.rank(name, argnames.IMAGE) is not None), None)
    channels = next((values[name] for name in values if "channels" in name), 3)
    if not isinstance(side, int) or not isinstance(channels, int):
        return {}
    return {"0": InputSpec("float32", (2, channels, side, side))}


def _guess(name: str) -> object | None:
    """As for a class; channels beside a width are those of the image."""
    return 3 if name in ("channels", "num_channels") else argnames.guess(name)
