"""What a forward is called with: guesses for every argument put together, best first, and the user's own inputs."""

from __future__ import annotations

import inspect
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

from muaudit.targets.inputs_by_layer import CONVOLUTIONS, vocabulary
from muaudit.targets.main_inputs import main_guesses
from muaudit.targets.options import InputSpec
from muaudit.targets.plain import plain_value
from muaudit.targets.probe import Inputs
from muaudit.targets.readers import fields, keys, reader, running, takes_arrays, unpacked
from muaudit.targets.side_inputs import is_known, is_side, side_guesses, target_slots
from muaudit.targets.slots import TARGET_NAMES, Filled, Guess, Hints, Marked, Slot

_SEED = 20_220_307
_MAINS, _VARIED, _COMBINATIONS, _FAR, _FEW_MAINS = 48, 8, 60, 6, 4
_MOST_NUMBERS = 4_000_000


@dataclass(frozen=True)
class Form:
    """The arguments of a call: by position, by name, and targets that the model takes for a loss of its own.

    key: what it was made for, the same in models of two widths; empty where nothing was guessed. arrays: the model
    takes arrays of numpy, of which it makes tensors itself.
    """

    args: tuple[Slot, ...] = ()
    kwargs: Mapping[str, Slot] = field(default_factory=dict)
    targets: frozenset[str] = frozenset()
    key: tuple[Any, ...] = field(default=(), compare=False)
    arrays: bool = False

    @property
    def follows_width(self) -> bool:
        """Whether a dim of the input goes with the width."""
        slots = [slot for slot in (*self.args, *self.kwargs.values()) if isinstance(slot, InputSpec)]
        return any(not all(isinstance(dim, int) for dim in slot.dims) for slot in slots)

    def make(self, sizes: Mapping[str, int]) -> Inputs:
        """The tensors at these sizes, the same data every time."""
        args = tuple(_tensor(slot, sizes, place) for place, slot in enumerate(self.args))
        kwargs = {name: _tensor(slot, sizes, 100 + place) for place, (name, slot) in enumerate(self.kwargs.items())}
        if self.arrays:
            args = tuple(_array(each) for each in args)
            kwargs = {name: _array(each) for name, each in kwargs.items()}
        alone = len(args) == 1 and not isinstance(args[0], tuple)
        return Inputs(args, kwargs, kwargs or (args[0] if alone else args))

    def flags(self, batch: int = 1) -> Iterator[str]:
        """The command line's `--input 'int64[2,32]'` for every tensor but the targets, with `batch` times the batch.

        None at all where the command line has no word for one of them: a dim, or one value everywhere.
        """
        if self.arrays:
            return
        named = [("", slot) for slot in self.args]
        named += [(f"{name}=", slot) for name, slot in self.kwargs.items() if name not in self.targets]
        tensors = [(name, slot) for name, slot in named if isinstance(slot, InputSpec) and slot.dims]
        if any(isinstance(slot, Filled) or isinstance(dim, tuple) for _, slot in tensors for dim in slot.dims):
            return
        if any(isinstance(slot, (list, tuple, dict, SimpleNamespace)) for _, slot in named):
            return
        for name, slot in tensors:
            first = slot.dims[0] * batch if isinstance(slot.dims[0], int) else slot.dims[0]
            more = replace(slot, dims=(first, *slot.dims[1:]))
            yield f"--input '{name}{more}'".replace(", ", ",")

    def __str__(self) -> str:
        """`int64[2, 32]`, or with names where there are several."""
        every = self.args[0] if len(self.args) == 1 and isinstance(self.args[0], tuple) else self.args
        shown = [str(slot) for slot in every if isinstance(slot, InputSpec)]
        inside = [slot if isinstance(slot, dict) else vars(slot) for slot in self.args
                  if isinstance(slot, (dict, SimpleNamespace))]  # fmt: skip
        shown += [f"{name} {each}" for entries in inside for name, each in entries.items()]
        named = [f"{name} {slot}" for name, slot in self.kwargs.items()
                 if isinstance(slot, InputSpec) and name not in self.targets]  # fmt: skip
        if len(named) == 1 and not shown:
            return named[0].partition(" ")[2]
        return ", ".join(shown + named) or "nothing"


def forms(model: nn.Module, hints: Hints) -> Iterator[Form]:
    """Calls worth trying, best first; with arrays where the model makes tensors of them itself."""
    if not takes_arrays(model):
        yield from _forms(model, hints)
        return
    for form in _forms(model, hints):
        yield replace(form, arrays=True, key=(*form.key, "arrays"))
        yield form


def _array(value: Any) -> Any:
    return value.numpy() if isinstance(value, torch.Tensor) else value


def _forms(model: nn.Module, hints: Hints) -> Iterator[Form]:
    """Calls, each with the targets that a forward takes, then without.

    First the likeliest of every argument beside each main input, then the others, then with what may be left out.
    """
    hints = _without_features(model, hints)
    parameters = _forward_parameters(model)
    required = [each for each in parameters if each.default is inspect.Parameter.empty]
    if not required and parameters and parameters[0].name not in TARGET_NAMES:
        required = parameters[:1]
    if not required:
        yield from (_form(model, parameters, (), (), ("none",), None))
        return
    plain = [plain_value(model, each.name) for each in required[1:]]
    for named, kind in ((keys, dict), (fields, SimpleNamespace), (unpacked, _several)) if None not in plain else ():
        if entries := named(model, required[0].name):
            for form in _of_entries(model, entries, hints, kind):
                yield replace(form, args=(*form.args, *plain))
            if named is not unpacked:
                return
    # what comes first is no state that is handed on, whatever it is called
    sides = [
        (is_side(each) and (at > 0 or each.name not in ("h", "h0", "hidden", "state", "states")))
        or plain_value(model, each.name) is not None
        for at, each in enumerate(required)
    ]
    place = next((at for at, side in enumerate(sides) if not side), 0)
    guesses = (each for each in _distinct(main_guesses(model, required[place], hints)) if not _is_vast(each[1]))
    mains = list(itertools.islice(guesses, _MAINS))
    left_out = [each for each in parameters if each not in required and each.default is None and is_known(each)]
    for key, main in mains:
        yield from _beside(model, parameters, required, place, (key, main), hints, 1)
    for key, main in mains[:_VARIED] if len(required) > 1 else ():
        yield from _beside(model, parameters, required, place, (key, main), hints, _COMBINATIONS)
    for key, main in mains[:_VARIED] if left_out else ():
        yield from _beside(model, parameters, [*required, *left_out], place, (key, main), hints, _COMBINATIONS)
    read = [each for each in parameters if each not in (*required, *left_out) and _may_be_given(model, each)]
    for key, main in mains[:_FEW_MAINS] if read else ():
        for given in ([each] for each in read):
            yield from _beside(model, parameters, [*required, *left_out, *given], place, (key, main), hints, _VARIED)


def _without_features(model: nn.Module, hints: Hints) -> Hints:
    """The hints without an image whose size is the number of features that the first layer reads: an `input_size`."""
    kinds = (nn.Linear, nn.RNNBase, nn.Embedding, *CONVOLUTIONS)
    first = next((each for each in model.modules() if isinstance(each, kinds)), None)
    features = getattr(first, "in_features", getattr(first, "input_size", None))
    return replace(hints, image=None) if hints.image == features == hints.values.get("input_size") else hints


def _several(**named: Slot) -> tuple[Slot, ...]:
    return tuple(named.values())


def _of_entries(
    model: nn.Module, named: list[str], hints: Hints, kind: Callable[..., Slot]
) -> Iterator[Form]:  # fmt: skip
    """Calls with one dict or object, whose entries are guessed as arguments are."""
    entries = [
        inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in named if name.isidentifier()
    ]
    place = next((at for at, each in enumerate(entries) if not is_side(each)), 0)
    mains = list(itertools.islice(_distinct(main_guesses(model, entries[place], hints)), _VARIED)) if entries else []
    for most in (1, _COMBINATIONS):
        for main in mains:
            for form in _beside(model, entries, entries, place, main, hints, most):
                made = kind(**dict(zip(named, form.args, strict=False)))
                yield Form((made,), {}, key=("entries", *form.key))


def _may_be_given(model: nn.Module, argument: inspect.Parameter) -> bool:
    """Whether an argument that may be left out is one that a layer reads: some forwards want one of several."""
    return argument.default is None and argument.name not in TARGET_NAMES and reader(model, argument.name) is not None


def _is_vast(slot: InputSpec) -> bool:
    """Whether a tensor has more numbers than any that a small model is tried with: images of a thousand channels."""
    return math.prod(each for each in slot.dims if isinstance(each, int)) > _MOST_NUMBERS


def _beside(
    model: nn.Module, parameters: list[inspect.Parameter], given: list[inspect.Parameter], place: int,
    main: tuple[tuple[Any, ...], InputSpec], hints: Hints, most: int,
) -> Iterator[Form]:  # fmt: skip
    """Calls with this main input, those first whose arguments beside it are the likeliest together."""
    sides: list[list[Guess]] = [
        [main] if at == place else list(_distinct(side_guesses(model, each, main[1], hints)))
        for at, each in enumerate(given)
    ]
    for chosen in itertools.islice(_likeliest(sides), most):
        keys, slots = [key for key, _ in chosen], [slot for _, slot in chosen]
        required = [at for at, each in enumerate(given) if each.default is each.empty or at == place]
        args = tuple(slots[at] for at in required)
        named = {given[at].name: slot for at, slot in enumerate(slots) if at not in required}
        yield from _form(model, parameters, args, tuple(named.items()), tuple(keys), main[1])


def _likeliest(sides: list[list[Guess]]) -> Iterator[tuple[Guess, ...]]:
    """One of each, by how far down their lists they stand together."""
    places = itertools.product(*(range(min(len(each), _FAR)) for each in sides))
    for chosen in sorted(places, key=lambda each: (sum(each), max(each))):
        yield tuple(side[at] for side, at in zip(sides, chosen, strict=True))


def _form(
    model: nn.Module, parameters: list[inspect.Parameter], args: tuple[Slot, ...],
    named: tuple[tuple[str, Slot], ...], key: tuple[Any, ...], main: InputSpec | None,
) -> Iterator[Form]:  # fmt: skip
    """A call with the optional targets that the forward takes, then as it is."""

    def typed(slot: Slot) -> Slot:
        if isinstance(slot, InputSpec) and slot.dtype == "float32":
            return replace(slot, dtype=_floating(model))
        return type(slot)(map(typed, slot)) if isinstance(slot, (list, tuple)) else slot

    args, named = tuple(map(typed, args)), tuple((name, typed(slot)) for name, slot in named)
    optional = [each.name for each in parameters if each.default is None and each.name in TARGET_NAMES]
    if optional and main is not None and optional[0] not in dict(named):
        for at, targets in enumerate(target_slots(main, model)):
            yield Form(args, {**dict(named), optional[0]: typed(targets)}, frozenset(optional), (*key, "targets", at))
    yield Form(args, dict(named), key=(*key, "plain"))


def of_lower_numbers(form: Form) -> Form:
    """The form with integers of the lower half of those that it has."""

    def lower(slot: Slot) -> Slot:
        if isinstance(slot, InputSpec) and slot.high is not None and slot.high > 1:
            return replace(slot, high=slot.high // 2)
        return type(slot)(map(lower, slot)) if isinstance(slot, (list, tuple)) else slot

    kwargs = {name: lower(slot) for name, slot in form.kwargs.items()}
    return replace(form, args=tuple(map(lower, form.args)), kwargs=kwargs, key=(*form.key, "lower"))


def _floating(model: nn.Module) -> str:
    """The type of the model's numbers, which its inputs share: of its first parameter, else torch's default."""
    dtypes = (parameter.dtype for parameter in model.parameters() if parameter.is_floating_point())
    return str(next(dtypes, torch.get_default_dtype())).removeprefix("torch.")


def _distinct(guesses: Iterable[tuple[tuple[Any, ...], Any]]) -> Iterator[tuple[tuple[Any, ...], Any]]:
    seen: list[Any] = []
    for key, slot in guesses:
        if slot not in seen:
            seen.append(slot)
            yield key, slot


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
        for targets in target_slots(primary, model):
            yield Form(form.args, {**form.kwargs, optional[0]: targets}, frozenset(optional))
    yield form


def positional_arguments(model: nn.Module) -> int:
    """How many arguments the forward takes by position; many where it takes any number."""
    signature = inspect.signature(model.forward)
    if any(each.kind is inspect.Parameter.VAR_POSITIONAL for each in signature.parameters.values()):
        return 1000
    return len(_forward_parameters(model))


def _forward_parameters(model: nn.Module) -> list[inspect.Parameter]:
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.POSITIONAL_ONLY)
    return [each for each in inspect.signature(running(model)).parameters.values() if each.kind in by_name]


def _tensor(slot: Slot, sizes: Mapping[str, int], place: int) -> Any:
    if isinstance(slot, (list, tuple)):
        return type(slot)(_tensor(each, sizes, place) for each in slot)
    if isinstance(slot, (dict, SimpleNamespace)):
        entries = slot if isinstance(slot, dict) else vars(slot)
        made = {name: _tensor(each, sizes, place + at) for at, (name, each) in enumerate(entries.items())}
        return type(slot)(**made)
    if not isinstance(slot, InputSpec):
        return slot
    generator = torch.Generator().manual_seed(_SEED + place)
    shape, dtype = slot.shape(sizes), getattr(torch, slot.dtype)
    if isinstance(slot, Filled):
        return torch.full(shape, slot.value, dtype=dtype)
    if dtype.is_floating_point:
        return torch.randn(shape, generator=generator).to(dtype)
    if dtype == torch.bool and len(shape) > 1:  # as many in every row
        return torch.rand(shape, generator=generator).argsort(-1) < (shape[-1] + 1) // 2
    drawn = torch.randint(0, slot.high or 2, shape, generator=generator).to(dtype)
    if isinstance(slot, Marked):
        drawn[..., : slot.places] = slot.value
    return drawn


def grow(form: Form, wider: Form, axis: str, sizes: tuple[int, int]) -> Form | None:
    """The form at any width, from the forms at two: dims that differ are dims that go with the width.

    None where a dim differs and does not grow as the width does: the two forms are not of one kind.
    """

    def joined(small: Any, large: Any) -> Any:
        if small == large:
            return small
        if int(small) * sizes[1] != int(large) * sizes[0]:
            raise ValueError
        return axis, int(small) / sizes[0]

    def join(slot: Slot, other: Slot) -> Slot:
        if isinstance(slot, (list, tuple)) and isinstance(other, (list, tuple)):
            return type(slot)(itertools.starmap(join, zip(slot, other, strict=True)))
        if isinstance(slot, dict) and isinstance(other, dict):
            return {name: join(each, other[name]) for name, each in slot.items()}
        if isinstance(slot, SimpleNamespace) and isinstance(other, SimpleNamespace):
            return SimpleNamespace(**{name: join(each, vars(other)[name]) for name, each in vars(slot).items()})
        if not isinstance(slot, InputSpec) or not isinstance(other, InputSpec):
            return slot
        dims = tuple(joined(small, large) for small, large in zip(slot.dims, other.dims, strict=True))
        high = slot.high if slot.high is None or other.high is None else min(slot.high, other.high)
        return replace(slot, dims=dims, high=high)

    try:
        args = tuple(itertools.starmap(join, zip(form.args, wider.args, strict=True)))
        kwargs = {name: join(slot, wider.kwargs[name]) for name, slot in form.kwargs.items()}
    except (ValueError, KeyError):
        return None
    return replace(form, args=args, kwargs=kwargs)
