"""A user's training data: `batches(width, seed)`, a generator as `batch(width)`, or one batch again and again."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from muaudit.errors import UserError
from muaudit.targets.probe import Inputs
from muaudit.targets.usercode import guarded, seed_everything

Sizes = Mapping[str, int]

_MOST_HELD_OUT = 1000  # batches: each run goes through all of them


def as_function(batches: Any) -> Any:
    """`batches(width, seed)` of what can be gone through again and again: a DataLoader, a list of batches.

    Anything else as it is. What shuffles by torch's random numbers goes by the seed.
    """
    if callable(batches) or is_generator(batches) or not hasattr(batches, "__iter__"):
        return batches

    def stream(width: int, seed: int) -> Iterator[Any]:
        return iter(batches)

    return stream


def first_of(batch: Callable[..., Any] | None, batches: Callable[..., Any] | None) -> Callable[..., Any] | None:
    """The batch that is audited: the user's own, else the first of his batches at seed 0."""
    if batch is not None or batches is None:
        return batch

    def first(width: int) -> Any:
        return next(iter(call_with_sizes(batches, {"width": width, "seed": 0}, ["width", "seed"])))

    return first


def endless(
    batch: Callable[..., Any], batches: Callable[..., Any] | None, axes: list[str], convert: Callable[[Any], Inputs]
) -> Callable[[Sizes, int], Iterator[Inputs]]:
    """`(sizes, seed)` → batches without end: a generator that runs out starts anew."""

    def data(sizes: Sizes, seed: int) -> Iterator[Inputs]:
        while True:
            count = 0
            for raw in _source(batch, batches, sizes, seed, axes):
                count += 1
                yield convert(raw)
            if not count:
                raise UserError("batches(width, seed) gave no batch", "yield tensors, tuples or dicts as batch returns")

    return data


def once(
    held_out: Callable[..., Any], axes: list[str], convert: Callable[[Any], Inputs]
) -> Callable[[Sizes], list[Inputs]]:
    """`(sizes)` → the batches of `held_out(width)`, which come to an end."""

    def data(sizes: Sizes) -> list[Inputs]:
        with guarded("held_out(width)"):
            seed_everything(0)
            found = list(itertools.islice(call_with_sizes(held_out, sizes, axes), _MOST_HELD_OUT + 1))
        if not found or len(found) > _MOST_HELD_OUT:
            what = f"more than {_MOST_HELD_OUT} batches" if found else "no batch"
            raise UserError(f"held_out(width) gave {what}", "return a list of batches as batch returns them")
        return [convert(raw) for raw in found]

    return data


def is_generator(raw: Any) -> bool:
    """Whether a batch is a stream of batches: a tensor or a tuple is none."""
    return hasattr(raw, "__next__")


def call_with_sizes(function: Callable[..., Any], sizes: Sizes, axes: list[str]) -> Any:
    """Call a user's function with the widths it takes: none, the main one, or each by name."""
    parameters = inspect.signature(function).parameters
    named = {name: sizes[name] for name in parameters if name in sizes}
    if named and len(named) == len(parameters):
        return function(**named)
    return function(*(sizes[name] for name in axes[: len(parameters)])) if parameters else function()


def _source(
    batch: Callable[..., Any], batches: Callable[..., Any] | None, sizes: Sizes, seed: int, axes: list[str]
) -> Iterator[Any]:
    """One pass over the user's data; what is raised there is the user's."""
    what = "batch(width)" if batches is None else "batches(width, seed)"
    with guarded(what):
        seed_everything(seed)
        if batches is not None:
            raw = iter(call_with_sizes(batches, {**sizes, "seed": seed}, [axes[0], "seed"]))
        else:
            raw = call_with_sizes(batch, sizes, axes[:1])
    if not is_generator(raw):
        yield raw
        return
    while True:
        with guarded(what):
            found = next(raw, None)
        if found is None:
            return
        yield found
