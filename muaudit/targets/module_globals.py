"""Models whose sizes are global variables of their file: `n_embd = 384` at the top, and a class without arguments."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from muaudit.targets import argnames
from muaudit.targets.arguments import Arguments, Branch, Leaf
from muaudit.targets.source import class_node, nodes_of

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


def with_globals(arguments: Arguments, module: ModuleType, model: Callable[..., Any]) -> Arguments:
    """The arguments and, where none of them is a width, the file's global variables that are called like sizes.

    Those that the model's class reads count after a prefix, too: `enc_hidden_size`. They may come from another file.
    """
    if any(argnames.rank(name.rpartition(".")[2], argnames.WIDTH) is not None for name in arguments.knobs):
        return arguments
    node = class_node(model) if inspect.isclass(model) else None
    read = {each.id for each in nodes_of(node) if isinstance(each, ast.Name)} if node is not None else set()
    found = {
        name: Leaf(value)
        for name, value in vars(module).items()
        if name not in arguments.knobs
        and (_is_size(name, value, name in read) or (argnames.is_dropout(name) and isinstance(value, float)))
    }
    if not found:
        return arguments
    inner = arguments.root

    def make(given: Mapping[str, Any]) -> Any:
        sizes = {name: given.get(name, leaf.value) for name, leaf in found.items()}  # others may have been tried
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


def _is_size(name: str, value: Any, read: bool) -> bool:
    known = argnames.rank(name, _TABLES) is not None or (read and argnames.named(name, _TABLES))
    return type(value) is int and known
