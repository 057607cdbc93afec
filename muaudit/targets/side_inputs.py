"""What an argument beside the main input may be, best first: by its name, annotation and reader."""

from __future__ import annotations

import contextlib
import inspect
import re
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

from muaudit.targets import argnames
from muaudit.targets.documented import NODES, lists_places
from muaudit.targets.inputs_by_layer import (
    CONTEXT_NAMES,
    CONVOLUTIONS,
    FORESEEN,
    VARIABLES,
    annotated_dims,
    annotation_text,
    as_int,
    by_docstring,
    by_reader,
)
from muaudit.targets.options import InputSpec
from muaudit.targets.plain import plain_value
from muaudit.targets.readers import Reader, fields, joined, keys, rank, reader
from muaudit.targets.slots import LENGTH, ROWS, TARGET_NAMES, Filled, Guess, Hints, Slot

_TIMES = re.compile(
    r"t|ts|(diffusion_)?(time)?_?steps?|times?(_?steps?)?|sigmas?|noise_(levels?|labels)|c_noise|gammas?"
)
_CLASSES = re.compile(r"y|labels?|class(es|_.*)?|cls|c")
_LENGTHS = re.compile(r".*(lengths?|lens|_len)")
_ADJACENT = re.compile(r"adj.*|.*adjacency.*|a_hat|a|g(raph)?_adj|support|laplacian|lap")
_STATES = re.compile(r".*(mask|cache|past|states?|hidden|freqs|pos_emb|h0|hx|hc)s?|h|callback|generator")
_CONTEXT_DIMS = ("context_dim", "cross_attention_dim", "cond_dim", "text_dim", "encoder_dim", "d_context", "ctx_dim")
_STARTS = ("init_hidden", "initHidden", "init_hidden_state", "init_state", "init_states", "initial_state", "zero_state")
_PLACES = ("start_pos", "offset", "pos", "step", "start_index", "layer_idx")
_DIFFUSION_STEPS = (
    "T", "timesteps", "num_timesteps", "n_timesteps", "diffusion_steps", "num_diffusion_steps", "num_steps", "n_steps",
)  # fmt: skip
_SCHEDULES = ("noise_schedule", "betas", "beta_schedule", "alphas")
_SHORT = {"a": ("action", "act"), "act": ("action",), "action": ("act",), "actions": ("act",), "obs": ("state",),
          "s": ("state", "obs"), "state": ("obs", "observation"), "states": ("obs",)}  # fmt: skip
_MELS = re.compile(r"mels?(_.*)?|.*_mels?|melspecs?|spec(trogram)?s?|fbanks?|feats?")
_MEL_SIZES = ("n_mel_channels", "n_mels", "num_mels", "n_mel", "mel_dim", "num_mel_bins", "mel_channels")
_POINTS = re.compile(r"pos(itions?)?|coo(rd|r)s?|coordinates|xyz|points?|pts")
_LARGEST_CLASS = 1000


def side_guesses(model: nn.Module, argument: inspect.Parameter, main: InputSpec, hints: Hints) -> list[Guess]:
    """Any other argument, beside a main input of which there are `main.dims[0]`."""
    found = list(_side_guesses(model, argument, main, hints))
    dims = annotated_dims(argument) or rank(model, argument.name)
    if dims is not None:
        found.sort(key=lambda guess: isinstance(guess[1], InputSpec) and len(guess[1].dims) != dims)
    return found


def _side_guesses(model: nn.Module, argument: inspect.Parameter, main: InputSpec, hints: Hints) -> Iterator[Guess]:
    name, rows = argument.name.lower(), main.dims[0]
    said = annotation_text(argument)
    if (value := plain_value(model, argument.name)) is not None:
        yield ("plain",), value
        return
    yield from by_docstring(model, argument.name, reader(model, argument.name), hints, rows, main)
    if lists_places(model, argument.name):
        each = InputSpec("int64", (NODES // ROWS,), NODES)
        yield ("places", "listed"), [each] * ROWS
    if entries := keys(model, argument.name) or fields(model, argument.name):
        yield from _of_entries(model, argument.name, entries, main, hints)
    if said in ("int", "bool", "float"):
        plain = {"int": 0 if name in _PLACES else 1, "bool": False, "float": 1.0}
        yield ("plain",), 0 if said == "int" else plain[said]
        return
    if len(main.dims) == 3 and hints.size((*VARIABLES, *FORESEEN)):
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
        length = as_int(main.dims[-1 if len(main.dims) < 3 else 1])
        yield ("lengths",), Filled("int64", (rows,), None, length)
        if len(main.dims) > 1:  # of sequences side by side
            yield ("lengths", "beside"), Filled("int64", (as_int(main.dims[1]),), None, as_int(main.dims[0]))
        yield ("lengths", "usual"), Filled("int64", (rows,), None, hints.length)
        yield ("lengths", "share"), Filled("float32", (rows,), None, 1)  # of the longest one
        yield ("lengths", "column"), Filled("int64", (rows, 1), None, length)
    if _STATES.fullmatch(name):
        yield from _states(model, main)
        yield ("nothing",), None
        yield from _masks(name, main)
    read = reader(model, argument.name)
    if _TIMES.fullmatch(name):
        yield from (each for each in _times(rows, read, hints) if not ("float" in said and "int" in each[0]))
    yield from _graph(name, main, read, hints)
    if name in TARGET_NAMES or _CLASSES.fullmatch(name):
        yield from _classes(rows, read, hints)
    exact = hints.values.get(argument.name)
    features = read.layer.in_features if read is not None and isinstance(read.layer, nn.Linear) else 0
    if type(exact) is int and 0 < exact < features:  # a part of what the layer reads, of the size that goes by its name
        yield ("named", exact), InputSpec("float32", (*_places(main), exact))
    if read is not None:
        beside = joined(model, argument.name)
        if len(beside) == 2 and isinstance(read.layer, nn.Linear) and read.layer.in_features > as_int(main.dims[-1]):
            yield ("rest",), InputSpec("float32", (*main.dims[:-1], read.layer.in_features - as_int(main.dims[-1])))
        if len(beside) == 2 and isinstance(read.layer, CONVOLUTIONS) and len(main.dims) > 2:
            rest = read.layer.in_channels - as_int(main.dims[1])
            if rest > 0:  # at every place the same, or a map of them
                yield ("rest", "row"), InputSpec("float32", (rows, rest))
                yield ("rest", "places"), InputSpec("float32", (rows, rest, *main.dims[2:]))
        if isinstance(read.layer, nn.Linear) and not read.flat and len(main.dims) == 3 and main.dtype != "int64":
            yield ("each",), InputSpec("float32", (*main.dims[:-1], read.layer.in_features))  # one for every place
        if isinstance(read.layer, CONVOLUTIONS) and len(main.dims) > 2:  # the same places, with channels of its own
            yield ("places",), InputSpec("float32", (rows, read.layer.in_channels, *main.dims[2:]))
        if isinstance(read.layer, nn.Embedding) and len(main.dims) == 3:
            yield ("each",), InputSpec("int64", main.dims[:2], int(read.layer.num_embeddings))
        for key, slot in by_reader(read, model, hints, argument.name):
            yield key, _of_rows(slot, rows)
    for known in _sizes_named(name, hints):
        yield ("named", known), InputSpec("float32", (*_places(main), known))
        if name in ("a", "act", "action", "actions"):  # one of so many
            yield ("chosen", known), InputSpec("int64", main.dims[:-1], known)
    if CONTEXT_NAMES.fullmatch(name) or name == "c":
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


def _sizes_named(name: str, hints: Hints) -> Iterator[int]:
    """The sizes that arguments of the constructor give an argument of the forward: `act_dim`, `n_obs` and so on."""
    stems = dict.fromkeys((name, name.removesuffix("s"), *_SHORT.get(name, ())))
    known = [*stems]
    known += [f"{stem}{end}" for stem in stems for end in ("_dim", "_size", "_features", "_channels", "dim")]
    known += [f"{start}_{stem}{end}" for stem in stems for start in ("n", "num", "dim") for end in ("", "s")]
    yield from dict.fromkeys(value for each in known if type(value := hints.values.get(each)) is int and value > 0)


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
    edges = 4 * as_int(nodes)
    if "edge_index" in name or name in ("edges", "edge_list", "edge_idx"):
        yield ("edges",), InputSpec("int64", (2, edges), as_int(nodes))
    elif name in ("adjs", "edge_indices", "edge_indexes", "edge_index_list", "edge_lists"):
        yield ("edges", "listed"), [InputSpec("int64", (2, edges), as_int(nodes))] * ROWS
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
        yield ("edges",), InputSpec("int64", (2, edges), as_int(nodes))  # of a sparse one, as graph layers take it


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
    return any(each.fullmatch(name) for each in (_TIMES, CONTEXT_NAMES)) and name not in TARGET_NAMES


def _of_rows(slot: InputSpec, rows: Any) -> InputSpec:
    return InputSpec(slot.dtype, (rows, *slot.dims[1:]), slot.high)
