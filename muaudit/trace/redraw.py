"""Drawing a model's initialization again without building the model again.

An initialization is measured on many draws, and a constructor does more than draw: it makes modules, reads
vocabularies, fills lists. So what one construction does to tensors is taped, operation by operation, and run again
under other seeds. That is only done where it gives, entry by entry, what a construction under another seed has given.
Where a construction looks at values, or draws from elsewhere than torch, it is built anew for every draw.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from ..targets.usercode import seed_torch

Draw = Mapping[str, torch.Tensor]
Draws = Callable[[int, int, Collection[str] | None], Draw]
"""`(probe, number, names)` → the parameters of these names at least, all where that is None."""
_MOST_BYTES = 1 << 30  # of tensors that are held while a construction is taped


class Redraws:
    """Draws of the models of several probes: `draws(probe, number)` are the parameters by name.

    Where `names` are given, no others need be drawn. They may then be other numbers of the same distribution than those
    of the whole model, as nothing is drawn before them.

    build: `(probe, seed) -> model`. first: the seed of draw number 0. known: models that are built already, with their
    seeds.
    """

    def __init__(
        self, build: Callable[[int, int], nn.Module], first: int, known: Mapping[int, tuple[nn.Module, int]]
    ) -> None:
        self._build, self._first = build, first
        self._known = dict(known)
        self._tapes: dict[int, _Tape | None] = {}
        self._parts: dict[tuple[int, frozenset[str]], _Tape] = {}

    def __call__(self, probe: int, number: int, names: Collection[str] | None = None) -> Draw:
        seed = self._first + number
        if probe not in self._tapes:
            return self._taped(probe, seed)
        tape = self._tapes[probe]
        if tape is None:
            return dict(self._build(probe, seed).named_parameters())
        if probe not in self._known:  # nothing to hold the tape against but another construction
            self._known[probe] = self._build(probe, seed), seed
            self._check(probe, tape)
            return dict(self._known[probe][0].named_parameters())
        if names is None:
            return tape.run(seed)
        key = probe, frozenset(names)
        if key not in self._parts:
            self._parts[key] = tape.part(names)
        return self._parts[key].run(seed)

    def _taped(self, probe: int, seed: int) -> Draw:
        taping = _Taping()
        with taping:
            model = self._build(probe, seed)
        self._tapes[probe] = tape = taping.tape(model)
        if tape is not None and probe in self._known:
            self._check(probe, tape)
        return dict(model.named_parameters())

    def _check(self, probe: int, tape: _Tape) -> None:
        """Forget a tape that gives something else than the construction under the same seed has given."""
        model, seed = self._known[probe]
        named = dict(model.named_parameters())
        try:
            drawn = tape.run(seed)
        except Exception:  # an operation that cannot be run apart from its construction
            drawn = {}
        if drawn.keys() != named.keys() or not all(torch.equal(each, named[name]) for name, each in drawn.items()):
            self._tapes[probe] = None


@dataclass(frozen=True)
class _View:
    """A tensor as a view of the storage with this number."""

    storage: int
    size: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int


@dataclass(frozen=True)
class _Step:
    """One operation. made: for every tensor that it returned, the number of the storage that is new, else None."""

    function: Any
    args: Any
    kwargs: Any
    made: tuple[int | None, ...]


@dataclass(frozen=True)
class _Tape:
    steps: tuple[_Step, ...]
    parameters: Mapping[str, _View]

    @torch.no_grad()
    def run(self, seed: int) -> Draw:
        """The parameters under a seed."""
        seed_torch(seed)
        held: dict[int, torch.Tensor] = {}

        def tensor(value: Any) -> Any:
            return torch.as_strided(held[value.storage], value.size, value.stride, value.offset)

        for step in self.steps:
            out = step.function(*_mapped(step.args, _View, tensor), **_mapped(step.kwargs, _View, tensor))
            for made, each in zip(step.made, _tensors(out), strict=True):
                if made is not None:
                    held[made] = each
        return {name: tensor(view) for name, view in self.parameters.items()}

    def part(self, names: Collection[str]) -> _Tape:
        """What makes these parameters alone."""
        parameters = {name: view for name, view in self.parameters.items() if name in names}
        return _Tape(tuple(_needed(self.steps, {each.storage for each in parameters.values()})), parameters)


@dataclass
class _Taping(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Tapes what is done inside, until something is done that cannot be run again."""

    steps: list[_Step] = field(default_factory=list)
    sound: bool = True

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # as for `Recorder`

    def __post_init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._numbers: dict[int, tuple[int, torch.dtype]] = {}
        self._alive: list[torch.Tensor] = []  # addresses of storages stay theirs while these live
        self._bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        if self.sound:
            self._note(func, args, kwargs, out)
        return out

    def tape(self, model: nn.Module) -> _Tape | None:
        """What was taped, None where it cannot be run again."""
        named = dict(model.named_parameters())
        if not self.sound or not all(self._adopted(each) for each in named.values()):
            return None
        parameters = {name: self._view(each) for name, each in named.items()}
        storages = {each.storage for each in parameters.values()}
        return _Tape(tuple(_needed(self.steps, storages, draws=True)), parameters)

    def _note(self, func: Any, args: Any, kwargs: Any, out: Any) -> None:
        given = list(_tensors((args, kwargs)))
        returned = list(_tensors(out))
        plain = all(type(each) in (torch.Tensor, nn.Parameter) and _plain(each) for each in (*given, *returned))
        drawn_elsewhere = kwargs.get("generator") is not None
        if not plain or not returned or drawn_elsewhere or not all(map(self._adopted, given)):
            self.sound = False  # a value went to Python, or a tensor is of a kind that cannot be made again
            return
        views = _mapped(args, torch.Tensor, self._view), _mapped(kwargs, torch.Tensor, self._view)
        self.steps.append(_Step(func, *views, tuple(map(self._made, returned))))
        self.sound = self._bytes <= _MOST_BYTES

    def _made(self, tensor: torch.Tensor) -> int | None:
        key = tensor.untyped_storage()._cdata
        if key in self._numbers:
            return None
        self._alive.append(tensor)
        self._bytes += tensor.untyped_storage().nbytes()
        self._numbers[key] = len(self._numbers), tensor.dtype
        return len(self._numbers) - 1

    def _adopted(self, tensor: torch.Tensor) -> bool:
        """Whether a tensor can be told of; one that no operation has made (`torch.tensor`) is taken as it is now."""
        if not _plain(tensor):
            return False
        storage = tensor.untyped_storage()
        if storage._cdata not in self._numbers:
            with torch.no_grad():
                whole = tensor.detach().as_strided((storage.nbytes() // tensor.element_size(),), (1,), 0).clone()
            made = self._made(tensor)
            self.steps.append(_Step(torch.ops.aten.clone.default, (whole,), {}, (made,)))
        return self._numbers[storage._cdata][1] is tensor.dtype

    def _view(self, tensor: torch.Tensor) -> _View:
        number, _ = self._numbers[tensor.untyped_storage()._cdata]
        return _View(number, tuple(tensor.shape), tensor.stride(), int(tensor.storage_offset()))


def _needed(steps: Sequence[_Step], storages: set[int], draws: bool = False) -> list[_Step]:
    """The steps that these storages come from, for a constructor may run its whole forward besides. draws: and all that
    draw, so that what is drawn behind them is the same.
    """
    live, kept = set(storages), []
    for step in reversed(steps):
        given = set(_storages((step.args, step.kwargs)))
        touched = {each for each in step.made if each is not None}
        touched |= given if step.function._schema.is_mutable else set()
        if touched & live or (draws and torch.Tag.nondeterministic_seeded in step.function.tags):
            live |= given
            kept.append(step)
    return kept[::-1]


def _storages(value: Any) -> Iterator[int]:
    if isinstance(value, _View):
        yield value.storage
    elif isinstance(value, (list, tuple, dict)):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _storages(each)


def _plain(tensor: torch.Tensor) -> bool:
    return tensor.layout is torch.strided and not tensor.is_meta and not tensor.is_quantized


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from _tensors(each)
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))


def _mapped(value: Any, kind: type, of: Callable[[Any], Any]) -> Any:
    if isinstance(value, kind):
        return of(value)
    if type(value) in (list, tuple):
        return type(value)([_mapped(each, kind, of) for each in value])
    if type(value) is dict:
        return {key: _mapped(each, kind, of) for key, each in value.items()}
    return value
