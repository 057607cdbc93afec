"""Models whose sizes are global variables of their file: `n_embd = 384` at the top, and a class without arguments."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any

from muaudit.targets import argnames
from muaudit.targets.arguments import Arguments, Branch, Leaf

_TABLES = (
    argnames.WIDTH
    + argnames.FEEDFORWARD
    + argnames.HEADS
    + argnames.KV_HEADS
    + argnames.HEAD_DIM
    + argnames.DEPTH
    + argnames.VOCAB
    + argnames.LENGTH
)


def with_globals(arguments: Arguments, module: ModuleType) -> Arguments:
    """The arguments and, where none of them is a width, the file's global variables that are called like sizes."""
    if any(argnames.rank(name.rpartition(".")[2], argnames.WIDTH) is not None for name in arguments.knobs):
        return arguments
    found = {
        name: Leaf(value)
        for name, value in vars(module).items()
        if name not in arguments.knobs
        and (_is_size(name, value) or (argnames.is_dropout(name) and isinstance(value, float)))
    }
    if not found:
        return arguments
    inner = arguments.root

    def make(given: Mapping[str, Any]) -> Any:
        sizes = {name: value for name, value in given.items() if name in found}
        vars(module).update(sizes)
        model = inner.make({name: value for name, value in given.items() if name not in found})
        # the forward may read them too, and a model of another width may have been built in between
        model.register_forward_pre_hook(lambda *_: vars(module).update(sizes))
        return model

    return Arguments(
        Branch(make, {**inner.children, **found}, inner.name),
        {**arguments.knobs, **found},
        {**arguments.paths, **{name: (name,) for name in found}},
        arguments.config,
    )


def _is_size(name: str, value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and argnames.rank(name, _TABLES) is not None
