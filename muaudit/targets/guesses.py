"""What one argument of a forward may be, best first: by the layer that reads it, its name and its annotation."""

from __future__ import annotations

import contextlib
import inspect
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

from muaudit.targets import argnames
from muaudit.targets.documented import NODES, anything, lists_places, sizes, told
from muaudit.targets.options import InputSpec
from muaudit.targets.plain import plain_value
from muaudit.targets.readers import Reader, fields, joined, keys, named_dims, rank, reader, unsqueezed, viewed
from muaudit.targets.sounds import sounds

ROWS, LENGTH = 2, 32
TARGET_NAMES = ("targets", "target", "labels", "label", "y", "gt", "target_ids")
_TOKENS = re.compile(r"idx|(.*_)?(ids?|tokens?)|src|tgt|trg|tokens?_.*")
_IMAGES = re.compile(r"(pixel_values|pixels|.*im(g|age)s?|im|frames)(_.*)?")
_TIMES = re.compile(
    r"t|ts|(diffusion_)?(time)?_?steps?|times?(_?steps?)?|sigmas?|noise_(levels?|labels)|c_noise|gammas?"
)
_CLASSES = re.compile(r"y|labels?|class(es|_.*)?|cls|c")
_LENGTHS = re.compile(r".*(lengths?|lens|_len)")
_ADJACENT = re.compile(r"adj.*|.*adjacency.*|a_hat|a|g(raph)?_adj|support|laplacian|lap")
_CONTEXT = re.compile(r".*(context|cond.*|memory|enc(oder)?_(out.*|hidden.*)|(text|prompt)_emb.*|features|xa|cross.*)")
_STATES = re.compile(r".*(mask|cache|past|states?|hidden|freqs|pos_emb|h0|hx|hc)s?|h|callback|generator")
_CONTEXT_DIMS = ("context_dim", "cross_attention_dim", "cond_dim", "text_dim", "encoder_dim", "d_context", "ctx_dim")
_STARTS = ("init_hidden", "initHidden", "init_hidden_state", "init_state", "init_states", "initial_state", "zero_state")
_PLACES = ("start_pos", "offset", "pos", "step", "start_index", "layer_idx")
_VARIABLES = ("enc_in", "c_in", "n_vars", "nvars", "num_series", "n_series", "input_channels", "num_variables")
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
_NODES = ("num_nodes", "n_nodes", "n_vertex", "num_vertices", "n_vertices", "num_of_vertices", "nodes")
_STEPS = ("horizon", "pred_horizon", "n_steps", "num_steps", "n_obs_steps")
_DIFFUSION_STEPS = (
    "T", "timesteps", "num_timesteps", "n_timesteps", "diffusion_steps", "num_diffusion_steps", "num_steps", "n_steps",
)  # fmt: skip
_SCHEDULES = ("noise_schedule", "betas", "beta_schedule", "alphas")
_FRAMES = ("frames", "num_frames", "n_frames")
_SHORT = {"a": ("action", "act"), "act": ("action",), "action": ("act",), "actions": ("act",), "obs": ("state",),
          "s": ("state", "obs"), "state": ("obs", "observation"), "states": ("obs",)}  # fmt: skip
_MELS = re.compile(r"mels?(_.*)?|.*_mels?|melspecs?|spec(trogram)?s?|fbanks?|feats?")
_MEL_SIZES = ("n_mel_channels", "n_mels", "num_mels", "n_mel", "mel_dim", "num_mel_bins", "mel_channels")
_POINTS = re.compile(r"pos(itions?)?|coords?|coordinates|xyz|points?|pts")
_SIDES = (32, 28, 64, 224, 96, 128, 16, 256)
_LARGEST_CLASS = 1000
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


@dataclass(frozen=True)
class Filled(InputSpec):
    """A tensor with one value everywhere: lengths, masks that hide nothing, the graph that every node is in."""

    value: int = 0


@dataclass(frozen=True)
class Marked(InputSpec):
    """Token ids of which the first `places` of every row are those that stand for pieces of an image."""

    value: int = 0
    places: int = 0


Slot = InputSpec | bool | int | float | str | tuple[Any, ...] | list[Any] | dict[str, Any] | SimpleNamespace | None
"""One argument: a tensor to make, a plain value, or several: a list, as recurrent states are, or a batch by names."""
Guess = tuple[tuple[Any, ...], Slot]
"""A slot, and what it was made for: the same in models of two widths."""


@dataclass(frozen=True)
class Hints:
    """What the constructor's arguments tell about the input. values: all of them, by their short names."""

    length: int = LENGTH
    image: int | None = None
    values: Mapping[str, Any] = field(default_factory=dict)

    def size(self, table: tuple[str, ...]) -> int | None:
        """The first argument of a table that holds a size, or else one that is called so after a prefix."""
        sizes = {name: value for name, value in self.values.items() if type(value) is int and value > 0}
        found = {argnames.rank(name, table): value for name, value in sizes.items()
                 if argnames.rank(name, table) is not None}  # fmt: skip
        ending = (value for name, value in sizes.items() if argnames.named(name, table))
        return found[min(found, key=lambda place: place or 0)] if found else next(ending, None)


def main_guesses(model: nn.Module, argument: inspect.Parameter, hints: Hints) -> Iterator[Guess]:
    """The main input: what the layer that reads it takes, then what any of the first layers takes."""
    read = reader(model, argument.name)
    first = list(_by_reader(read, model, hints, argument.name)) if read is not None else []
    kinds = list(dict.fromkeys(type(each) for each in model.modules()))
    layers = [next((name, each) for name, each in model.named_modules() if type(each) is kind) for kind in kinds]
    others = [guess for name, layer in layers for guess in _layer_inputs(name, layer, model, hints)]
    name = argument.name.lower()
    if _TOKENS.fullmatch(name) or "int" in _said(argument) or "long" in _said(argument):
        others.sort(key=lambda guess: guess[1].dtype != "int64")
        first.sort(key=lambda guess: guess[1].dtype != "int64")
    elif _CONTEXT.fullmatch(name):  # what another model makes
        others.sort(key=lambda guess: guess[1].dtype == "int64" or len(guess[1].dims) != 3)
    elif _IMAGES.fullmatch(name):
        others.sort(key=lambda guess: len(guess[1].dims) != 4)
    named = named_dims(model, argument.name)
    dims = _annotated(argument) or rank(model, argument.name) or len(named) or None
    first = [*_of_dims(named, hints), *_part_of(model, argument.name, read, hints), *first]
    if read is not None and isinstance(read.layer, _CONVOLUTIONS) and unsqueezed(model, argument.name):
        first = [*_without_channel(first), *first]
    heard = sounds(model, argument.name, ROWS)
    written = _documented(model, argument.name, read, hints, ROWS)
    shaped = [*_viewed(model, argument.name), *_of_shapes(hints), *_places_in_time(model, read, hints)]
    found = [
        *written,
        *heard,
        *shaped,
        *_series(hints),
        *first,
        *others,
        *_of_channels(hints),
        *_clouds(),
        *_bare_inputs(model),
    ]
    if dims is not None:
        found.sort(key=lambda guess: len(guess[1].dims) != dims)
    yield from found


def _documented(
    model: nn.Module, name: str, read: Reader | None, hints: Hints, rows: Any, main: InputSpec | None = None
) -> Iterator[tuple[tuple[Any, ...], InputSpec]]:  # fmt: skip
    """What the docstring says of an argument; what it leaves open, as the layer that reads it takes it.

    Integers are places among the rows of the main input, where no table of the model says how many there are.
    """
    dims, integers = told(model, name)
    if not dims:
        return
    found: list[int | None] = sizes(dims, hints.values, hints.length, hints.image or 32, _int(rows))
    layer = read.layer if read is not None else None
    if isinstance(layer, nn.Linear) and found[-1] is None:
        found[-1] = layer.in_features
    elif isinstance(layer, _CONVOLUTIONS) and len(dims) > 1 and found[1] is None:
        found[1] = layer.in_channels
    shape = tuple(size or anything(each) for each, size in zip(dims, found, strict=True))
    if "mask" in name.lower():  # one that hides nothing
        yield ("documented", "mask"), Filled("bool", shape, None, 1)
        return
    if isinstance(layer, nn.Embedding) or integers or re.search(r"(_|^)(idx|index|indices)$", name):
        high = int(layer.num_embeddings) if isinstance(layer, nn.Embedding) else _int(main.dims[0] if main else rows)
        yield ("documented", "int"), InputSpec("int64", shape, high)
        return
    yield ("documented",), InputSpec("float32", shape)


def _without_channel(guesses: list[tuple[tuple[Any, ...], InputSpec]]) -> Iterator[tuple[tuple[Any, ...], InputSpec]]:
    """The guesses of one channel, which the forward gives them itself."""
    for key, slot in guesses:
        if len(slot.dims) > 2 and slot.dims[1] == 1:
            yield (*key, "bare"), InputSpec(slot.dtype, (slot.dims[0], *slot.dims[2:]), slot.high)


def side_guesses(model: nn.Module, argument: inspect.Parameter, main: InputSpec, hints: Hints) -> list[Guess]:
    """Any other argument, beside a main input of which there are `main.dims[0]`."""
    found = list(_side_guesses(model, argument, main, hints))
    dims = _annotated(argument) or rank(model, argument.name)
    if dims is not None:
        found.sort(key=lambda guess: isinstance(guess[1], InputSpec) and len(guess[1].dims) != dims)
    return found


def _side_guesses(model: nn.Module, argument: inspect.Parameter, main: InputSpec, hints: Hints) -> Iterator[Guess]:
    name, rows = argument.name.lower(), main.dims[0]
    said = _said(argument)
    if (value := plain_value(model, argument.name)) is not None:
        yield ("plain",), value
        return
    yield from _documented(model, argument.name, reader(model, argument.name), hints, rows, main)
    if lists_places(model, argument.name):
        each = InputSpec("int64", (NODES // ROWS,), NODES)
        yield ("places", "listed"), [each] * ROWS
    if entries := keys(model, argument.name) or fields(model, argument.name):
        yield from _of_entries(model, argument.name, entries, main, hints)
    if said in ("int", "bool", "float"):
        plain = {"int": 0 if name in _PLACES else 1, "bool": False, "float": 1.0}
        yield ("plain",), 0 if said == "int" else plain[said]
        return
    if len(main.dims) == 3 and hints.size(_VARIABLES):
        yield from _beside_series(name, main, hints)
    if _POINTS.fullmatch(name) and len(main.dims) > 1:
        for size in (3, 2):
            places = main.dims[:2] if main.dtype == "int64" else main.dims[:-1]
            yield ("points", size), InputSpec("float32", (*places, size))
    if name in _PLACES:
        yield ("plain",), 0
    if _MELS.fullmatch(name) and (mels := hints.size(_MEL_SIZES)):
        yield ("mels",), InputSpec("float32", (rows, mels, LENGTH))
        yield ("mels", "last"), InputSpec("float32", (rows, LENGTH, mels))
    if _LENGTHS.fullmatch(name):
        length = _int(main.dims[-1 if len(main.dims) < 3 else 1])
        yield ("lengths",), Filled("int64", (rows,), None, length)
        yield ("lengths", "column"), Filled("int64", (rows, 1), None, length)
    if _STATES.fullmatch(name):
        yield from _states(model, main)
        yield ("nothing",), None
        yield from _masks(name, main)
    read = reader(model, argument.name)
    if _TIMES.fullmatch(name):
        yield from _times(rows, read, hints)
    yield from _graph(name, main, read, hints)
    if name in TARGET_NAMES or _CLASSES.fullmatch(name):
        yield from _classes(rows, read, hints)
    exact = hints.values.get(argument.name)
    features = read.layer.in_features if read is not None and isinstance(read.layer, nn.Linear) else 0
    if type(exact) is int and 0 < exact < features:  # a part of what the layer reads, of the size that goes by its name
        yield ("named", exact), InputSpec("float32", (*_places(main), exact))
    if read is not None:
        beside = joined(model, argument.name)
        if len(beside) == 2 and isinstance(read.layer, nn.Linear) and read.layer.in_features > _int(main.dims[-1]):
            yield ("rest",), InputSpec("float32", (*main.dims[:-1], read.layer.in_features - _int(main.dims[-1])))
        if isinstance(read.layer, nn.Linear) and not read.flat and len(main.dims) == 3 and main.dtype != "int64":
            yield ("each",), InputSpec("float32", (*main.dims[:-1], read.layer.in_features))  # one for every place
        if isinstance(read.layer, _CONVOLUTIONS) and len(main.dims) > 2:  # the same places, with channels of its own
            yield ("places",), InputSpec("float32", (rows, read.layer.in_channels, *main.dims[2:]))
        if isinstance(read.layer, nn.Embedding) and len(main.dims) == 3:
            yield ("each",), InputSpec("int64", main.dims[:2], int(read.layer.num_embeddings))
        for key, slot in _by_reader(read, model, hints, argument.name):
            yield key, _of_rows(slot, rows)
    for known in _sizes_named(name, hints):
        yield ("named", known), InputSpec("float32", (*_places(main), known))
        if name in ("a", "act", "action", "actions"):  # one of so many
            yield ("chosen", known), InputSpec("int64", main.dims[:-1], known)
    if _CONTEXT.fullmatch(name) or name == "c":
        wide = hints.size(_CONTEXT_DIMS) or main.dims[-1]
        yield ("context", 3), InputSpec("float32", (rows, 8, wide))
        yield ("context", 2), InputSpec("float32", (rows, wide))
    yield ("like",), main
    if main.dtype == "int64":
        tables = [int(each.num_embeddings) for each in model.modules() if isinstance(each, nn.Embedding)]
        yield ("like", "least"), InputSpec("int64", main.dims, min([main.high or 2, *tables]))


def _places(main: InputSpec) -> tuple[Any, ...]:
    """The dims of a main input but for that of its features, which what is looked up by integers has not."""
    return main.dims if main.dtype == "int64" else main.dims[:-1]


def _of_entries(
    model: nn.Module, argument: str, entries: list[str], main: InputSpec, hints: Hints
) -> Iterator[Guess]:  # fmt: skip
    """Dicts and objects whose entries are guessed as arguments beside the main one are, the likeliest of each first."""
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    named = {name: side_guesses(model, inspect.Parameter(name, kind), main, hints)
             for name in entries if name.isidentifier()}  # fmt: skip
    most = max(map(len, named.values()), default=0) if len(named) == len(entries) and all(named.values()) else 0
    for at in range(most):
        chosen = {name: each[min(at, len(each) - 1)] for name, each in named.items()}
        slots: dict[str, Slot] = {name: slot for name, (_, slot) in chosen.items()}
        made = slots if keys(model, argument) else SimpleNamespace(**slots)
        yield ("entries", *(key for key, _ in chosen.values())), made


def _by_reader(
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
    if read.flat or hints.size(_FRAMES) or (hints.image and _IMAGES.fullmatch(argument.lower())):
        yield from _images(hints, ("hints",))
    linear = isinstance(layer, (nn.Linear, nn.LayerNorm))
    features = layer.in_features if isinstance(layer, nn.Linear) else getattr(layer, "normalized_shape", [0])[-1]
    guesses = (
        list(_layer_inputs(read.path, layer, model, hints))
        if not linear
        else list(_flat_inputs(read.path, features, hints))
    )
    if linear and any(_mixes(each) for each in model.modules()) and not read.flat:
        guesses.sort(key=lambda guess: len(guess[1].dims) != 3)  # a sequence, where something mixes its places
    yield from guesses


def _of_dims(named: list[str], hints: Hints) -> Iterator[tuple[tuple[Any, ...], InputSpec]]:
    """A tensor whose dims go by the names of sizes that the constructor has; the first is the batch."""
    known = [hints.values.get(name) for name in named]
    sizes = [value if type(value) is int and value > 0 else None for value in known]
    image = [name.lower() for name in named[2:]] in (["h", "w"], ["height", "width"])
    channels = (hints.size(argnames.IN_CHANNELS) or 3) if image else hints.size(_VARIABLES)
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
    if read is None or not isinstance(read.layer, nn.Linear) or len(joined(model, name)) != 2:
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


def _mixes(module: nn.Module) -> bool:
    known = (nn.MultiheadAttention, nn.TransformerEncoderLayer, nn.RNNBase)
    return isinstance(module, known) or "attention" in type(module).__name__.lower()


def _layer_inputs(
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
    patch = _int(layer.stride[0]) if layer.stride == layer.kernel_size and _int(layer.stride[0]) > 1 else 0
    if hints.image:
        yield hints.image
    if patch >= 4:
        yield from (side for side in (4 * patch, 2 * patch) if side >= 16)


def _sizes_named(name: str, hints: Hints) -> Iterator[int]:
    """The sizes that arguments of the constructor give an argument of the forward: `act_dim`, `n_obs` and so on."""
    stems = dict.fromkeys((name, name.removesuffix("s"), *_SHORT.get(name, ())))
    known = [*stems]
    known += [f"{stem}{end}" for stem in stems for end in ("_dim", "_size", "_features", "_channels", "dim")]
    known += [f"{start}_{stem}{end}" for stem in stems for start in ("n", "num", "dim") for end in ("", "s")]
    yield from dict.fromkeys(value for each in known if type(value := hints.values.get(each)) is int and value > 0)


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
        yield ("bare", "image"), InputSpec("float32", (ROWS, channels, side, side))
        yield ("bare", "frames"), InputSpec("float32", (ROWS, hints.length, channels))
        yield ("bare", "series"), InputSpec("float32", (ROWS, channels, hints.length))


def _series(hints: Hints) -> Iterator[tuple[tuple[Any, ...], InputSpec]]:
    """Series of several variables, where the constructor speaks of these and of their length: `seq_len`, `enc_in`."""
    length, variables = hints.size((*_LOOKED_BACK, *argnames.LENGTH)), hints.size(_VARIABLES)
    if length and variables:
        yield ("series",), InputSpec("float32", (ROWS, length, variables))
        yield ("series", "last"), InputSpec("float32", (ROWS, variables, length))


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


def _beside_series(name: str, main: InputSpec, hints: Hints) -> Iterator[Guess]:
    """What forecasters are given beside a series: marks of its times, and the part of the output that is known."""
    later = (hints.size(("label_len",)) or 0) + (hints.size(("pred_len", "out_len", "horizon")) or 0)
    length = later if "dec" in name and later else main.dims[1]
    if "mark" in name:
        yield ("marks",), InputSpec("float32", (ROWS, length, 4))
        for count in (5, 4):
            yield ("marks", count), InputSpec("int64", (ROWS, length, count), 4)
    elif "dec" in name:
        yield ("decoded",), InputSpec("float32", (ROWS, length, hints.size(("dec_in",)) or main.dims[-1]))


def _times(rows: Any, read: Reader | None, hints: Hints) -> Iterator[Guess]:
    """Steps of a diffusion: of as many as a table has, or the constructor says; else numbers."""
    listed = [len(value) for name, value in hints.values.items()
              if name in _SCHEDULES and isinstance(value, (list, tuple)) and value]  # fmt: skip
    told = listed[0] if listed else hints.size(_DIFFUSION_STEPS)
    high = read.layer.num_embeddings if read is not None and isinstance(read.layer, nn.Embedding) else told or 100
    yield ("times", "int"), InputSpec("int64", (rows,), min(100, int(high)))
    yield ("times", "float"), InputSpec("float32", (rows,))
    yield ("times", "column"), InputSpec("float32", (rows, 1))


def _classes(rows: Any, read: Reader | None, hints: Hints) -> Iterator[Guess]:
    """A class for every row; of a forward that embeds them, one that it knows."""
    known = hints.size(argnames.CLASSES) or 2
    high = read.layer.num_embeddings if read is not None and isinstance(read.layer, nn.Embedding) else known
    if read is not None and isinstance(read.layer, nn.Linear):
        yield ("class", "vector"), InputSpec("float32", (rows, read.layer.in_features))
    yield ("class",), InputSpec("int64", (rows,), min(_LARGEST_CLASS, int(high)))


def _graph(name: str, main: InputSpec, read: Reader | None, hints: Hints) -> Iterator[Guess]:
    nodes = main.dims[0] if len(main.dims) < 3 else main.dims[-2]
    edges = 4 * _int(nodes)
    if "edge_index" in name or name in ("edges", "edge_list", "edge_idx"):
        yield ("edges",), InputSpec("int64", (2, edges), _int(nodes))
    elif name in ("adjs", "edge_indices", "edge_indexes", "edge_index_list", "edge_lists"):
        yield ("edges", "listed"), [InputSpec("int64", (2, edges), _int(nodes))] * ROWS
    elif name.startswith("edge"):
        features = [value for known, value in hints.values.items() if "edge" in known and type(value) is int]
        if features and re.search("attr|feat", name):
            yield ("features",), InputSpec("float32", (edges, features[0]))
        yield ("weights",), InputSpec("float32", (edges,))
        if read is not None and isinstance(read.layer, nn.Linear):
            yield ("attributes",), InputSpec("float32", (edges, read.layer.in_features))
    elif name in ("batch", "batch_index", "batch_idx") and len(main.dims) == 2:
        yield ("graph",), Filled("int64", (nodes,), None, 0)
    elif _ADJACENT.fullmatch(name):
        yield ("adjacency",), InputSpec("float32", (nodes, nodes))
        if len(main.dims) == 3:
            yield ("adjacencies",), InputSpec("float32", (main.dims[0], nodes, nodes))


def _masks(name: str, main: InputSpec) -> Iterator[Guess]:
    """Masks that hide nothing, where None will not do."""
    if "mask" in name and len(main.dims) >= 2:
        rows, length = main.dims[:2]
        yield ("mask",), Filled("bool", (rows, length), None, 1)
        yield ("mask", "square"), Filled("bool", (length, length), None, 1)
        yield ("mask", "heads"), Filled("bool", (rows, 1, length, length), None, 1)
    if "mask" in name and len(main.dims) == 3:  # of sequences with channels before places
        yield ("mask", "channel"), Filled("float32", (main.dims[0], 1, main.dims[2]), None, 1)
    if "mask" in name:
        yield ("mask", "rows"), Filled("float32", main.dims[:1], None, 0)


def _states(model: nn.Module, main: InputSpec) -> Iterator[Guess]:
    """The first state of a recurrent model, as its own `init_hidden(batch)` makes it."""
    method = next((getattr(model, name) for name in _STARTS if callable(getattr(model, name, None))), None)
    for at, rows in enumerate(dict.fromkeys(main.dims[:2])):
        if method is None:
            return
        with contextlib.suppress(Exception):
            yield ("state", at), _slot(method(rows))


def _slot(made: Any) -> Slot:
    """A tensor, or a list of them, as what makes its like."""
    if isinstance(made, (list, tuple)):
        return type(made)(map(_slot, made))
    if not isinstance(made, torch.Tensor):
        raise TypeError
    shape, dtype = tuple(made.shape), str(made.dtype).removeprefix("torch.")
    return InputSpec(dtype, shape) if made.any() else Filled(dtype, shape, None, 0)


def vocabulary(model: nn.Module) -> int:
    """How many tokens the model knows: the size of its first embedding that is not one of positions."""
    embeddings = [(name, each) for name, each in model.named_modules() if isinstance(each, nn.Embedding)]
    tokens = [each for name, each in embeddings if not any(part in name.lower() for part in ("pos", "wpe"))]
    found = tokens or [each for _, each in embeddings]
    return int(found[0].num_embeddings) if found else 2


def target_slots(main: InputSpec, model: nn.Module) -> Iterator[InputSpec]:
    """Targets for a loss inside the model: a token for every token, a class for every row, or the input's like."""
    if main.dtype == "int64":
        yield InputSpec("int64", main.dims, main.high)
    linears = [each for each in model.modules() if isinstance(each, nn.Linear)]
    yield InputSpec("int64", main.dims[:1], linears[-1].out_features if linears else 2)
    if main.dtype != "int64":
        yield main


def is_side(argument: inspect.Parameter) -> bool:
    """Whether an argument is called like one that goes beside the main input."""
    name = argument.name.lower()
    tables = (_TIMES, _LENGTHS, _STATES, _ADJACENT)
    return name in _PLACES or name.startswith("edge") or any(each.fullmatch(name) for each in tables)


def is_known(argument: inspect.Parameter) -> bool:
    """Whether an argument that may be left out is one whose name says what it is."""
    name = argument.name.lower()
    return any(each.fullmatch(name) for each in (_TIMES, _CONTEXT)) and name not in TARGET_NAMES


def _said(argument: inspect.Parameter) -> str:
    """An annotation as lower text: `int`, `torch.longtensor`."""
    note = argument.annotation
    return "" if note is argument.empty else str(getattr(note, "__name__", note)).lower()


def _annotated(argument: inspect.Parameter) -> int | None:
    """How many dims a jaxtyping annotation names: two for `Float[Tensor, "batch time"]`."""
    text = "" if argument.annotation is argument.empty else str(argument.annotation)
    found = re.search(r"(?:Float|Int|Shaped|Bool)\w*\[[^'\"]*['\"]([^'\".*]+)['\"]\]", text)
    return len(found[1].split()) if found else None


def _of_rows(slot: InputSpec, rows: Any) -> InputSpec:
    return InputSpec(slot.dtype, (rows, *slot.dims[1:]), slot.high)


def _int(value: Any) -> int:
    return value if isinstance(value, int) else int(str(value))
