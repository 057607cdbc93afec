"""What one argument of a forward may be by the layer that reads it, by the docstring, and by its annotation."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Iterator
from typing import Any

from torch import nn

from muaudit.targets import argnames
from muaudit.targets.documented import anything, sizes, told
from muaudit.targets.options import InputSpec
from muaudit.targets.readers import Reader
from muaudit.targets.slots import ROWS, Filled, Hints

IMAGE_NAMES = re.compile(r"(pixel_values|pixels|.*im(g|age)s?|im|frames)(_.*)?")
CONTEXT_NAMES = re.compile(
    r".*(context|cond.*|memory|enc(oder)?_(out.*|hidden.*)|(text|prompt)_emb.*|features|xa|cross.*)"
)
VARIABLES = ("enc_in", "c_in", "n_vars", "nvars", "num_series", "n_series", "input_channels", "num_variables")
FORESEEN = ("pred_len", "out_len", "horizon", "pred_length", "prediction_length")
_STEPS = ("horizon", "pred_horizon", "n_steps", "num_steps", "n_obs_steps")
_FRAMES = ("frames", "num_frames", "n_frames")
_SIDES = (32, 28, 64, 84, 224, 96, 128, 16, 256)
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def by_docstring(
    model: nn.Module, name: str, read: Reader | None, hints: Hints, rows: Any, main: InputSpec | None = None
) -> Iterator[tuple[tuple[Any, ...], InputSpec]]:  # fmt: skip
    """What the docstring says of an argument; what it leaves open, as the layer that reads it takes it.

    Integers are places among the rows of the main input, where no table of the model says how many there are.
    """
    dims, integers = told(model, name)
    if not dims:
        return
    found: list[int | None] = sizes(dims, hints.values, hints.length, hints.image or 32, as_int(rows))
    layer = read.layer if read is not None else None
    if isinstance(layer, nn.Linear) and found[-1] is None:
        found[-1] = layer.in_features
    elif isinstance(layer, CONVOLUTIONS) and len(dims) > 1 and found[1] is None:
        found[1] = layer.in_channels
    shape = tuple(size or anything(each) for each, size in zip(dims, found, strict=True))
    if "mask" in name.lower():  # one that hides nothing
        yield ("documented", "mask"), Filled("bool", shape, None, 1)
        return
    if isinstance(layer, nn.Embedding) or integers or re.search(r"(_|^)(idx|index|indices)$", name):
        high = int(layer.num_embeddings) if isinstance(layer, nn.Embedding) else as_int(main.dims[0] if main else rows)
        yield ("documented", "int"), InputSpec("int64", shape, high)
        return
    yield ("documented",), InputSpec("float32", shape)


def by_reader(
    read: Reader, model: nn.Module, hints: Hints, argument: str
) -> Iterator[tuple[tuple[Any, ...], InputSpec]]:
    """What the layer that reads an argument takes; where it was flattened before, an image or a sequence of it."""
    layer = read.layer
    if isinstance(layer, nn.Embedding):
        high = int(layer.num_embeddings)
        for length in dict.fromkeys((hints.length, 16, 8)):
            yield (read.path, length), InputSpec("int64", (ROWS, min(length, hints.length)), high)
        full, known = hints.size(argnames.LENGTH), hints.size(argnames.VOCAB)
        if full and full != hints.length:  # as long as the table of positions
            yield (read.path, "full"), InputSpec("int64", (ROWS, full), high)
        if known and known < high:  # offsets are added to what is looked up
            yield (read.path, "vocabulary"), InputSpec("int64", (ROWS, hints.length), known)
        yield (read.path, "row"), InputSpec("int64", (ROWS,), high)
        for name, value in hints.values.items():  # fields, each with a number of values of its own
            sizes: list[Any] = list(value) if isinstance(value, (list, tuple)) else []
            if sizes and all(type(each) is int and each > 1 for each in sizes):
                yield (read.path, "fields", name), InputSpec("int64", (ROWS, len(sizes)), min(high, *sizes))
        return
    if read.flat or hints.size(_FRAMES) or (hints.image and IMAGE_NAMES.fullmatch(argument.lower())):
        yield from _images(hints, ("hints",))
    linear = isinstance(layer, (nn.Linear, nn.LayerNorm))
    features = layer.in_features if isinstance(layer, nn.Linear) else getattr(layer, "normalized_shape", [0])[-1]
    guesses = (
        list(by_layer(read.path, layer, model, hints)) if not linear else list(_flat_inputs(read.path, features, hints))
    )
    if linear and any(_mixes(each) for each in model.modules()) and not read.flat:
        guesses.sort(key=lambda guess: len(guess[1].dims) != 3)  # a sequence, where something mixes its places
    yield from guesses


def _mixes(module: nn.Module) -> bool:
    known = (nn.MultiheadAttention, nn.TransformerEncoderLayer, nn.RNNBase)
    return isinstance(module, known) or "attention" in type(module).__name__.lower()


def by_layer(
    path: str, layer: nn.Module, model: nn.Module, hints: Hints
) -> Iterator[tuple[tuple[Any, ...], InputSpec]]:
    if isinstance(layer, nn.Embedding):
        high = vocabulary(model)
        for length in dict.fromkeys((hints.length, 16, 8)):
            yield (path, "tokens", length), InputSpec("int64", (ROWS, min(length, hints.length)), high)
        yield (path, "token"), InputSpec("int64", (ROWS,), high)
    elif isinstance(layer, nn.Conv2d):
        for side in dict.fromkeys((*_known_sides(hints, layer), *_SIDES)):
            yield (path, "image", side), InputSpec("float32", (ROWS, layer.in_channels, side, side))
        for side in (*_known_sides(hints, layer), 32):
            yield (path, "channels last", side), InputSpec("float32", (ROWS, side, side, layer.in_channels))
    elif isinstance(layer, (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)):
        for side in (1, 4, 8):  # what is generated from
            yield (
                (path, "latents", side),
                InputSpec("float32", (ROWS, layer.in_channels, *(side for _ in layer.stride))),
            )
    elif isinstance(layer, nn.Conv1d):
        known = hints.size(argnames.LENGTH)
        lengths = list(dict.fromkeys(each for each in (known, 128, hints.length, 1024, 8192) if each))
        for length in lengths:
            yield (path, "sequence", length), InputSpec("float32", (ROWS, layer.in_channels, length))
        for length in lengths[:2]:
            yield (path, "frames", length), InputSpec("float32", (ROWS, length, layer.in_channels))
        if layer.in_channels == 1:
            yield (path, "wave"), InputSpec("float32", (ROWS, 8192))
    elif isinstance(layer, nn.Conv3d):
        yield (path, "volume"), InputSpec("float32", (ROWS, layer.in_channels, 8, 32, 32))
        yield (path, "cube"), InputSpec("float32", (ROWS, layer.in_channels, 32, 32, 32))
    elif isinstance(layer, nn.Linear):
        yield from _flat_inputs(path, layer.in_features, hints)
    elif isinstance(layer, nn.RNNBase):
        shape = (ROWS, hints.length) if layer.batch_first else (hints.length, ROWS)
        yield (path, "sequence"), InputSpec("float32", (*shape, layer.input_size))
    elif isinstance(layer, (nn.RNNCellBase, nn.Bilinear)):
        size = layer.input_size if isinstance(layer, nn.RNNCellBase) else layer.in1_features
        yield (path, "row"), InputSpec("float32", (ROWS, int(size)))
    elif isinstance(layer, (nn.MultiheadAttention, nn.TransformerEncoderLayer)):
        width = layer.embed_dim if isinstance(layer, nn.MultiheadAttention) else layer.self_attn.embed_dim
        yield (path, "sequence"), InputSpec("float32", (ROWS, hints.length, width))


def _known_sides(hints: Hints, layer: nn.Conv2d) -> Iterator[int]:
    """The image's size where the constructor says it; at least four patches of a layer that cuts into patches."""
    patch = as_int(layer.stride[0]) if layer.stride == layer.kernel_size and as_int(layer.stride[0]) > 1 else 0
    if hints.image:
        yield hints.image
    if patch >= 4:
        yield from (side for side in (4 * patch, 2 * patch) if side >= 16)


def _sizes_of_inputs(hints: Hints) -> list[int]:
    """The arguments that size a part of the input: `input_ch` and `input_ch_views`, `state_dim` and `action_dim`."""
    sizes = ((name.lower(), value) for name, value in hints.values.items() if type(value) is int and value > 0)
    return [value for name, value in sizes if re.match(r"(in|input|obs|state|act|action)_", name)]


def _images(hints: Hints, key: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], InputSpec]]:
    """Images, videos and series of the size that the constructor says, with its channels."""
    known = hints.size((*argnames.IN_CHANNELS, "channels", "num_channels"))
    kinds = list(dict.fromkeys(each for each in (known, 3, 1) if each))
    frames, length = hints.size(_FRAMES), hints.size(argnames.LENGTH)
    for channels in kinds:
        if hints.image and frames:
            side = hints.image
            yield (*key, "video", channels), InputSpec("float32", (ROWS, channels, frames, side, side))
            yield (*key, "frames", channels), InputSpec("float32", (ROWS, frames, channels, side, side))
        elif hints.image:
            yield (*key, channels), InputSpec("float32", (ROWS, channels, hints.image, hints.image))
        elif length:
            yield (*key, "series", channels), InputSpec("float32", (ROWS, channels, length))
    if hints.image and not frames:
        for channels in kinds:
            yield (*key, "last", channels), InputSpec("float32", (ROWS, hints.image, hints.image, channels))


def _flat_inputs(path: str, features: int, hints: Hints) -> Iterator[tuple[tuple[Any, ...], InputSpec]]:
    yield (path, "rows"), InputSpec("float32", (2 * ROWS, features))
    yield (path, "sequence"), InputSpec("float32", (ROWS, hints.length, features))
    full = hints.size(argnames.LENGTH)
    if full and full != hints.length:  # what mixes the places of a sequence may want all of them
        yield (path, "full"), InputSpec("float32", (ROWS, full, features))
    steps = hints.size(_STEPS)
    if steps:
        yield (path, "steps"), InputSpec("float32", (ROWS, steps, features))
    yield from _images(hints, (path, "known"))
    yield (path, "grid"), InputSpec("float32", (ROWS, 16, 16, features))
    joined = sum(_sizes_of_inputs(hints))
    if joined > features:
        yield (path, "joined"), InputSpec("float32", (2 * ROWS, joined))
    for channels in (1, 3):
        side = math.isqrt(features // channels)
        if side * side * channels == features and side > 1:
            yield (path, "flattened", channels), InputSpec("float32", (2 * ROWS, channels, side, side))


def vocabulary(model: nn.Module) -> int:
    """How many tokens the model knows: the size of its first embedding that is not one of positions."""
    embeddings = [(name, each) for name, each in model.named_modules() if isinstance(each, nn.Embedding)]
    tokens = [each for name, each in embeddings if not any(part in name.lower() for part in ("pos", "wpe"))]
    found = tokens or [each for _, each in embeddings]
    return int(found[0].num_embeddings) if found else 2


def annotation_text(argument: inspect.Parameter) -> str:
    """An annotation as lower text: `int`, `torch.longtensor`."""
    note = argument.annotation
    return "" if note is argument.empty else str(getattr(note, "__name__", note)).lower()


def annotated_dims(argument: inspect.Parameter) -> int | None:
    """How many dims a jaxtyping annotation names: two for `Float[Tensor, "batch time"]`."""
    text = "" if argument.annotation is argument.empty else str(argument.annotation)
    found = re.search(r"(?:Float|Int|Shaped|Bool)\w*\[[^'\"]*['\"]([^'\".*]+)['\"]\]", text)
    return len(found[1].split()) if found else None


def as_int(value: Any) -> int:
    return value if isinstance(value, int) else int(str(value))
