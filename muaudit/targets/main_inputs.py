"""What the main input of a forward may be, best first: by the layer that reads it, its name and its annotation."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

from torch import nn

from muaudit.targets import argnames
from muaudit.targets.inputs_by_layer import (
    CONTEXT_NAMES,
    CONVOLUTIONS,
    FORESEEN,
    IMAGE_NAMES,
    VARIABLES,
    annotated_dims,
    annotation_text,
    by_docstring,
    by_layer,
    by_reader,
)
from muaudit.targets.options import InputSpec
from muaudit.targets.readers import Reader, encoded, joined, named_dims, rank, reader, unsqueezed, viewed
from muaudit.targets.slots import LENGTH, ROWS, Guess, Hints
from muaudit.targets.sounds import sounds

_TOKENS = re.compile(r"idx|(.*_)?(ids?|tokens?)|src|tgt|trg|tokens?_.*")
_LOOKED_BACK = (
    "seq_len",
    "input_len",
    "input_length",
    "context_window",
    "lookback",
    "look_back",
    "window_size",
    "window",
)
_SEVERAL = 7
"""Variables of a series, where the model takes any number: one that none of its sizes is."""
_SIDE = 16
"""Of a volume at whose places there are features."""
_NODES = ("num_nodes", "n_nodes", "n_vertex", "num_vertices", "n_vertices", "num_of_vertices", "nodes")


def main_guesses(model: nn.Module, argument: inspect.Parameter, hints: Hints) -> Iterator[Guess]:
    """The main input: what the layer that reads it takes, then what any of the first layers takes."""
    read = reader(model, argument.name)
    first = list(by_reader(read, model, hints, argument.name)) if read is not None else []
    kinds = list(dict.fromkeys(type(each) for each in model.modules()))
    layers = [next((name, each) for name, each in model.named_modules() if type(each) is kind) for kind in kinds]
    others = [guess for name, layer in layers for guess in by_layer(name, layer, model, hints)]
    name = argument.name.lower()
    if _TOKENS.fullmatch(name) or "int" in annotation_text(argument) or "long" in annotation_text(argument):
        others.sort(key=lambda guess: guess[1].dtype != "int64")
        first.sort(key=lambda guess: guess[1].dtype != "int64")
    elif CONTEXT_NAMES.fullmatch(name):  # what another model makes
        others.sort(key=lambda guess: guess[1].dtype == "int64" or len(guess[1].dims) != 3)
    elif IMAGE_NAMES.fullmatch(name):
        others.sort(key=lambda guess: len(guess[1].dims) != 4)
    named = named_dims(model, argument.name)
    dims = annotated_dims(argument) or rank(model, argument.name) or len(named) or None
    first = [*_of_dims(named, hints), *_part_of(model, argument.name, read, hints), *first]
    if read is not None and isinstance(read.layer, CONVOLUTIONS) and unsqueezed(model, argument.name):
        first = [*_without_channel(first), *first]
    heard = sounds(model, argument.name, ROWS)
    written = by_docstring(model, argument.name, read, hints, ROWS)
    shaped = [
        *_encoded(model, argument.name, hints),
        *_viewed(model, argument.name),
        *_of_shapes(hints),
        *_places_in_time(model, read, hints),
    ]
    found = [
        *written,
        *_encoded(model, argument.name, hints),
        *heard,
        *shaped,
        *_series(hints),
        *(_series(hints, _SEVERAL) if hints.size(FORESEEN) else ()),
        *first,
        *others,
        *_of_channels(hints),
        *_clouds(),
        *_bare_inputs(model),
        *_series(hints, _SEVERAL),
        *_as_wide(hints),
    ]
    if dims is not None:
        found += _of_rank(dims, read)
        found.sort(key=lambda guess: len(guess[1].dims) != dims)
    yield from found


def _of_rank(dims: int, read: Reader | None) -> Iterator[tuple[tuple[Any, ...], InputSpec]]:
    """Features at the places of a volume, or of what has more dims, where the forward tells how many there are."""
    if dims > 4 and read is not None and isinstance(read.layer, nn.Linear):
        yield ("rank", dims), InputSpec("float32", (ROWS, *[_SIDE] * (dims - 2), read.layer.in_features))


def _without_channel(guesses: list[tuple[tuple[Any, ...], InputSpec]]) -> Iterator[tuple[tuple[Any, ...], InputSpec]]:
    """The guesses of one channel, which the forward gives them itself."""
    for key, slot in guesses:
        if len(slot.dims) > 2 and slot.dims[1] == 1:
            yield (*key, "bare"), InputSpec(slot.dtype, (slot.dims[0], *slot.dims[2:]), slot.high)


def _of_dims(named: list[str], hints: Hints) -> Iterator[tuple[tuple[Any, ...], InputSpec]]:
    """A tensor whose dims go by the names of sizes that the constructor has; the first is the batch."""
    known = [hints.values.get(name) for name in named]
    sizes = [value if type(value) is int and value > 0 else None for value in known]
    image = [name.lower() for name in named[2:]] in (["h", "w"], ["height", "width"])
    channels = (hints.size(argnames.IN_CHANNELS) or 3) if image else hints.size(VARIABLES)
    filled = [channels if size is None and re.fullmatch(r"n_?vars|variables|(in_?)?ch(annels?|ans?)?|c", name.lower())
              else size for name, size in zip(named, sizes, strict=True)]  # fmt: skip
    if len(named) > 2 and (any(filled[1:]) if image else sum(size is not None for size in filled[1:]) >= 2):
        rest = hints.image or 32 if image else hints.length
        yield ("dims",), InputSpec("float32", (ROWS, *(size or rest for size in filled[1:])))
    elif len(named) > 3 and filled[1]:  # channels, then places of which nothing is said
        yield ("dims", "places"), InputSpec("float32", (ROWS, filled[1], *(size or 16 for size in filled[2:])))


def _part_of(
    model: nn.Module, name: str, read: Reader | None, hints: Hints
) -> Iterator[tuple[tuple[Any, ...], InputSpec]]:
    """A part of what a layer reads, where the forward joins it with another argument: sizes that add up to it."""
    if read is None or len(joined(model, name)) != 2:
        return
    if isinstance(read.layer, nn.Conv2d):
        yield from _beside_channels(read.layer, hints)
    if not isinstance(read.layer, nn.Linear):
        return
    whole = read.layer.in_features
    sizes = [value for value in hints.values.values() if type(value) is int and 0 < value < whole]
    parts = [value for value in dict.fromkeys(sizes) if whole - value in sizes] or [whole // 2]
    high, wide = hints.values.get("H"), hints.values.get("W")
    grid = [high * wide] if type(high) is int and type(wide) is int else []  # every place of a grid
    for part in parts:
        for length in (*grid, hints.length):
            yield ("part", part, length), InputSpec("float32", (ROWS, length, part))
        yield ("part", part), InputSpec("float32", (2 * ROWS, part))


def _beside_channels(layer: nn.Conv2d, hints: Hints) -> Iterator[tuple[tuple[Any, ...], InputSpec]]:
    """An image beside channels that an argument of the constructor counts: labels, at every place the same."""
    sizes = [value for value in hints.values.values() if type(value) is int and 0 < value < layer.in_channels]
    rest = sorted({layer.in_channels - each for each in sizes}, key=lambda each: each not in (3, 1))
    side = hints.image or 32
    for channels in rest:
        yield ("part", "channels", channels), InputSpec("float32", (ROWS, channels, side, side))


def _encoded(model: nn.Module, name: str, hints: Hints) -> Iterator[tuple[tuple[Any, ...], InputSpec]]:
    """Classes of which the forward makes one-hot rows: at the places of a list of sizes that the constructor has."""
    said = encoded(model, name)
    classes = int(said) if said.isdigit() else hints.values.get(said)
    if type(classes) is not int or classes < 1:
        return
    lists = (value for value in hints.values.values() if isinstance(value, (list, tuple)) and len(value) > 1)
    places = [tuple(each) for each in lists if all(type(size) is int and size > 0 for size in each)]
    for at, shape in enumerate([*places, (hints.length,), (), (16, 16)]):
        yield ("classes", at), InputSpec("int64", (ROWS, *shape), classes)


def _clouds() -> Iterator[tuple[tuple[Any, ...], InputSpec]]:
    """Points in space, more than any has neighbours, for models that look for them before any layer does."""
    yield ("cloud",), InputSpec("float32", (ROWS, 3, 128))
    yield ("cloud", "last"), InputSpec("float32", (ROWS, 128, 3))


def _bare_inputs(model: nn.Module) -> Iterator[tuple[tuple[Any, ...], InputSpec]]:
    """For models of bare parameters: what their first matrix contracts, or looks up."""
    matrices = [parameter for parameter in model.parameters() if parameter.dim() == 2]
    for matrix in matrices[:1]:
        for place in (1, 0):
            yield ("bare", place), InputSpec("float32", (2 * ROWS, matrix.shape[place]))
        yield ("bare", "tokens"), InputSpec("int64", (ROWS, LENGTH), matrix.shape[0])


def _of_channels(hints: Hints) -> Iterator[tuple[tuple[Any, ...], InputSpec]]:
    """For models whose forward works on the input before any layer does: grids and series of the channels there are."""
    channels = hints.size((*argnames.IN_CHANNELS, *argnames.INPUTS, "channels", "num_channels"))
    if channels:
        yield ("bare", "features"), InputSpec("float32", (2 * ROWS, channels))
        side = hints.image or 16
        yield ("bare", "grid"), InputSpec("float32", (ROWS, side, side, channels))
        for each in dict.fromkeys((side, 32, 64)):  # halved several times, it may be
            yield ("bare", "image", each), InputSpec("float32", (ROWS, channels, each, each))
        yield ("bare", "frames"), InputSpec("float32", (ROWS, hints.length, channels))
        yield ("bare", "series"), InputSpec("float32", (ROWS, channels, hints.length))


def _series(hints: Hints, several: int = 0) -> Iterator[tuple[tuple[Any, ...], InputSpec]]:
    """Series of several variables, where the constructor speaks of these and of their length: `seq_len`, `enc_in`.

    several: how many there are where it does not, for models that take any number.
    """
    length, variables = hints.size((*_LOOKED_BACK, *argnames.LENGTH)), several or hints.size(VARIABLES)
    if length and variables:
        yield ("series", several), InputSpec("float32", (ROWS, length, variables))
        yield ("series", several, "last"), InputSpec("float32", (ROWS, variables, length))


def _as_wide(hints: Hints) -> Iterator[tuple[tuple[Any, ...], InputSpec]]:
    """Sequences of what is as wide as the model, which no layer reads first: it may be joined with something before."""
    if width := hints.size(argnames.WIDTH):
        yield ("as wide",), InputSpec("float32", (ROWS, hints.length, width))


def _of_shapes(hints: Hints) -> Iterator[tuple[tuple[Any, ...], InputSpec]]:
    """A batch of what the constructor gives the whole shape of: `in_shape=(10, 1, 64, 64)`."""
    for name in argnames.SHAPES:
        shape = hints.values.get(name)
        if (
            isinstance(shape, (list, tuple))
            and len(shape) > 1
            and all(type(each) is int and each > 0 for each in shape)
        ):
            yield ("shape", name), InputSpec("float32", (ROWS, *shape))


def _viewed(model: nn.Module, name: str) -> Iterator[tuple[tuple[Any, ...], InputSpec]]:
    """What a forward views as so many numbers a row: `x.view(-1, 1, self.window, self.series)`."""
    sizes = [size for size in viewed(model, name) if size > 1]
    if len(sizes) > 1:
        yield ("viewed",), InputSpec("float32", (ROWS, *sizes))


def _places_in_time(
    model: nn.Module, read: Reader | None, hints: Hints
) -> Iterator[tuple[tuple[Any, ...], InputSpec]]:  # fmt: skip
    """Series at the nodes of a graph, for convolutions over time: `(batch, channels, nodes, steps)` or turned."""
    nodes, length = hints.size(_NODES), hints.size((*_LOOKED_BACK, *argnames.LENGTH, "n_his", "history"))
    layers = [read.layer] if read is not None else list(model.modules())
    layer = next((each for each in layers if isinstance(each, nn.Conv2d)), None)
    if nodes and length and layer is not None:
        yield ("nodes", "time"), InputSpec("float32", (ROWS, layer.in_channels, nodes, length))
        yield ("time", "nodes"), InputSpec("float32", (ROWS, layer.in_channels, length, nodes))
