"""What a forward is called with: guesses from its signature and the model's first layers, tried until one runs."""

from __future__ import annotations

import inspect
import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn

from muaudit.targets.options import InputSpec
from muaudit.targets.probe import Inputs

_TOKENS = ("idx", "input_ids", "tokens", "ids", "token_ids", "input_tokens", "src", "tgt", "decoder_input_ids", "trg")
_IMAGES = ("image", "images", "pixel_values", "img", "imgs", "pixels")
TARGET_NAMES = ("targets", "target", "labels", "label", "y", "gt", "target_ids")
_TIMES = ("t", "timestep", "timesteps", "time", "sigma", "noise_level")
_NOTHING = ("mask", "cache", "past", "state", "hidden", "freqs", "pos_emb")
_LENGTH, _ROWS, _SEED = 32, 2, 20_220_307

Slot = InputSpec | bool | int | float | None
"""One argument: a tensor to make, or a plain value."""


@dataclass(frozen=True)
class Form:
    """The arguments of a call: by position, by name, and targets that the model takes for a loss of its own."""

    args: tuple[Slot, ...] = ()
    kwargs: Mapping[str, Slot] = field(default_factory=dict)
    targets: frozenset[str] = frozenset()

    @property
    def follows_width(self) -> bool:
        """Whether a dim of the input goes with the width."""
        slots = (*self.args, *self.kwargs.values())
        return any(isinstance(slot, InputSpec) and not all(isinstance(dim, int) for dim in slot.dims) for slot in slots)

    def make(self, sizes: Mapping[str, int]) -> Inputs:
        """The tensors at these sizes, the same data every time."""
        args = tuple(_tensor(slot, sizes, place) for place, slot in enumerate(self.args))
        kwargs = {name: _tensor(slot, sizes, 100 + place) for place, (name, slot) in enumerate(self.kwargs.items())}
        return Inputs(args, kwargs, args[0] if len(args) == 1 and not kwargs else (kwargs if kwargs else args))

    def flags(self, batch: int = 1) -> Iterator[str]:
        """The command line's `--input 'int64[2,32]'` for every tensor but the targets, with `batch` times the batch.

        None at all where one of them has a dim for which the command line has no word.
        """
        named = [("", slot) for slot in self.args]
        named += [(f"{name}=", slot) for name, slot in self.kwargs.items() if name not in self.targets]
        tensors = [(name, slot) for name, slot in named if isinstance(slot, InputSpec) and slot.dims]
        if any(isinstance(dim, tuple) for _, slot in tensors for dim in slot.dims):
            return
        for name, slot in tensors:
            first = slot.dims[0] * batch if isinstance(slot.dims[0], int) else slot.dims[0]
            more = replace(slot, dims=(first, *slot.dims[1:]))
            yield f"--input '{name}{more}'".replace(", ", ",")

    def __str__(self) -> str:
        """`int64[2, 32]`, or with names where there are several."""
        shown = [str(slot) for slot in self.args if isinstance(slot, InputSpec)]
        named = [f"{name} {slot}" for name, slot in self.kwargs.items()
                 if isinstance(slot, InputSpec) and name not in self.targets]  # fmt: skip
        if len(named) == 1 and not shown:
            return named[0].partition(" ")[2]
        return ", ".join(shown + named) or "nothing"


@dataclass(frozen=True)
class Hints:
    """What the constructor's arguments tell about the input."""

    length: int = _LENGTH
    image: int | None = None


def forms(model: nn.Module, hints: Hints) -> Iterator[Form]:
    """Calls worth trying, best first; each with the targets that a forward takes, then without."""
    parameters = _forward_parameters(model)
    required = [each for each in parameters if each.default is inspect.Parameter.empty]
    optional = [each.name for each in parameters if each.default is None and each.name in TARGET_NAMES]
    if not required and parameters and parameters[0].name not in TARGET_NAMES:
        required = parameters[:1]
    for primary in itertools.islice(_primaries(model, required, hints), 24):
        slots = tuple(_slot(each, place, primary, model) for place, each in enumerate(required))
        for targets in _target_slots(primary, model) if optional else ():
            yield Form(slots, {optional[0]: targets}, frozenset(optional))
        yield Form(slots)


def given_form(inputs: Mapping[str, InputSpec], model: nn.Module) -> Form:
    """The user's inputs, integers bounded by the model's vocabulary; targets are added where the forward takes them."""
    bounded = {
        name: spec if spec.high or "int" not in spec.dtype else InputSpec(spec.dtype, spec.dims, vocabulary(model))
        for name, spec in inputs.items()
    }
    args = tuple(spec for name, spec in bounded.items() if name.isdigit())
    kwargs = {name: spec for name, spec in bounded.items() if not name.isdigit()}
    return Form(args, kwargs, frozenset(name for name in kwargs if name in TARGET_NAMES))


def with_targets(form: Form, model: nn.Module) -> Iterator[Form]:
    """A given form with the optional targets that the forward takes, then as it is."""
    optional = [each.name for each in _forward_parameters(model) if each.default is None and each.name in TARGET_NAMES]
    primary = next((slot for slot in (*form.args, *form.kwargs.values()) if isinstance(slot, InputSpec)), None)
    if optional and primary is not None and not form.targets and optional[0] not in form.kwargs:
        for targets in _target_slots(primary, model):
            yield Form(form.args, {**form.kwargs, optional[0]: targets}, frozenset(optional))
    yield form


def vocabulary(model: nn.Module) -> int:
    """How many tokens the model knows: the size of its first embedding that is not one of positions."""
    embeddings = [(name, each) for name, each in model.named_modules() if isinstance(each, nn.Embedding)]
    tokens = [each for name, each in embeddings if not any(part in name.lower() for part in ("pos", "wpe"))]
    found = tokens or [each for _, each in embeddings]
    return int(found[0].num_embeddings) if found else 2


def positional_arguments(model: nn.Module) -> int:
    """How many arguments the forward takes by position; many where it takes any number."""
    signature = inspect.signature(model.forward)
    if any(each.kind is inspect.Parameter.VAR_POSITIONAL for each in signature.parameters.values()):
        return 1000
    return len(_forward_parameters(model))


def _forward_parameters(model: nn.Module) -> list[inspect.Parameter]:
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.POSITIONAL_ONLY)
    return [each for each in inspect.signature(model.forward).parameters.values() if each.kind in by_name]


def _primaries(model: nn.Module, required: list[inspect.Parameter], hints: Hints) -> Iterator[InputSpec]:
    """The main input: what the first layers take, in the order of the layers; tokens first where the name says so."""
    first = required[0].name.lower() if required else ""
    kinds = list(dict.fromkeys(type(each) for each in model.modules()))
    layers = [next(each for each in model.modules() if type(each) is kind) for kind in kinds]
    found = list(itertools.chain.from_iterable(_layer_inputs(layer, model, hints) for layer in layers))
    if first in _TOKENS:
        found.sort(key=lambda spec: spec.dtype != "int64")
    elif first in _IMAGES:
        found.sort(key=lambda spec: len(spec.dims) != 4)
    yield from dict.fromkeys(found)
    yield from _bare_inputs(model)


def _layer_inputs(layer: nn.Module, model: nn.Module, hints: Hints) -> Iterator[InputSpec]:
    if isinstance(layer, nn.Embedding):
        for length in dict.fromkeys((hints.length, 16, 8)):
            yield InputSpec("int64", (_ROWS, min(length, hints.length)), vocabulary(model))
        yield InputSpec("int64", (_ROWS,), vocabulary(model))
    elif isinstance(layer, nn.Conv2d):
        for side in dict.fromkeys(each for each in (hints.image, 32, 28, 64, 224, 96, 128, 16) if each):
            yield InputSpec("float32", (_ROWS, layer.in_channels, side, side))
    elif isinstance(layer, nn.Conv1d):
        for length in (128, hints.length, 1024):
            yield InputSpec("float32", (_ROWS, layer.in_channels, length))
    elif isinstance(layer, nn.Conv3d):
        yield InputSpec("float32", (_ROWS, layer.in_channels, 8, 32, 32))
    elif isinstance(layer, nn.Linear):
        yield from _flat_inputs(layer.in_features, hints)
    elif isinstance(layer, nn.RNNBase):
        yield InputSpec("float32", (_ROWS, hints.length, layer.input_size))
    elif isinstance(layer, nn.MultiheadAttention | nn.TransformerEncoderLayer):
        width = layer.embed_dim if isinstance(layer, nn.MultiheadAttention) else layer.self_attn.embed_dim
        yield InputSpec("float32", (_ROWS, hints.length, width))


def _flat_inputs(features: int, hints: Hints) -> Iterator[InputSpec]:
    yield InputSpec("float32", (2 * _ROWS, features))
    yield InputSpec("float32", (_ROWS, hints.length, features))
    for channels in (1, 3):
        side = math.isqrt(features // channels)
        if side * side * channels == features and side > 1:
            yield InputSpec("float32", (2 * _ROWS, channels, side, side))


def _bare_inputs(model: nn.Module) -> Iterator[InputSpec]:
    """For models of bare parameters: what their first matrix contracts, or looks up."""
    matrices = [parameter for parameter in model.parameters() if parameter.dim() == 2]
    for matrix in matrices[:1]:
        for features in (matrix.shape[1], matrix.shape[0]):
            yield InputSpec("float32", (2 * _ROWS, features))
        yield InputSpec("int64", (_ROWS, _LENGTH), matrix.shape[0])


def _slot(parameter: inspect.Parameter, place: int, primary: InputSpec, model: nn.Module) -> Slot:
    """One required argument: the first is the main input, the others go by annotation and name."""
    name = parameter.name.lower()
    if place == 0:
        return primary
    if parameter.annotation in (int, "int") or name in ("start_pos", "offset", "pos", "step"):
        return 0
    if parameter.annotation in (bool, "bool", float, "float"):
        return False
    if any(part in name for part in _NOTHING):
        return None
    if name in _TIMES:
        return InputSpec("int64", (int(str(primary.dims[0])),), 100)
    if name in TARGET_NAMES:
        return next(_target_slots(primary, model))
    return primary


def _target_slots(primary: InputSpec, model: nn.Module) -> Iterator[InputSpec]:
    """Targets for a loss inside the model: a token for every token, a class for every row, or the input's like."""
    if primary.dtype == "int64":
        yield InputSpec("int64", primary.dims, primary.high)
    linears = [each for each in model.modules() if isinstance(each, nn.Linear)]
    yield InputSpec("int64", primary.dims[:1], linears[-1].out_features if linears else 2)
    if primary.dtype != "int64":
        yield primary


def _tensor(slot: Slot, sizes: Mapping[str, int], place: int) -> Any:
    if not isinstance(slot, InputSpec):
        return slot
    generator = torch.Generator().manual_seed(_SEED + place)
    shape, dtype = slot.shape(sizes), getattr(torch, slot.dtype)
    if dtype.is_floating_point:
        return torch.randn(shape, generator=generator).to(dtype)
    return torch.randint(0, slot.high or 2, shape, generator=generator).to(dtype)


def grow(form: Form, wider: Form, axis: str, sizes: tuple[int, int]) -> Form:
    """The form at any width, from the forms at two: dims that differ are dims that go with the width."""

    def join(slot: Slot, other: Slot) -> Slot:
        if not isinstance(slot, InputSpec) or not isinstance(other, InputSpec) or len(slot.dims) != len(other.dims):
            return slot
        dims = tuple(
            small if small == large else (axis, int(str(small)) / sizes[0])
            for small, large in zip(slot.dims, other.dims, strict=True)
        )
        high = slot.high if slot.high is None or other.high is None else min(slot.high, other.high)
        return InputSpec(slot.dtype, dims, high)

    args = tuple(itertools.starmap(join, zip(form.args, wider.args, strict=True)))
    kwargs = {name: join(slot, wider.kwargs[name]) for name, slot in form.kwargs.items()}
    return Form(args, kwargs, form.targets)
