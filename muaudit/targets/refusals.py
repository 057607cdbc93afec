"""What a failure says of arguments: words that the code does not know, configs that may not be None, negative sizes."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator, Mapping
from types import FrameType
from typing import Any

from torch import nn

from muaudit.targets import argnames
from muaudit.targets.arguments import MISSING, Leaf
from muaudit.targets.corrections import frames, worth
from muaudit.targets.source import nodes_of, tree_of
from muaudit.targets.userfiles import is_user_file

_ABSENT = re.compile(r"'NoneType' object (has no attribute|is not subscriptable)")
_NEGATIVE = re.compile(r"negative dimension -(\d+)")


def words(error: BaseException) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The texts that a `raise` behind questions refuses, with those that were asked for.

    `if kind == "tanh": ... elif kind == "relu": ... else: raise`, and so for `kind not in ("tanh", "relu")`.
    """
    found: dict[str, tuple[str, ...]] = {}
    for frame, line in frames(error.__traceback__):
        tree = tree_of(frame.f_code.co_filename) if is_user_file(frame.f_code.co_filename) else None
        for test in _chains(tree, line) if tree is not None else ():
            for value, known in _texts(test, frame):
                if value not in known:
                    found[value] = tuple(dict.fromkeys((*found.get(value, ()), *known)))
    return tuple(found.items())


def needs_config(error: BaseException | None) -> bool:
    """Whether something that is None was read like an object."""
    return error is not None and _ABSENT.search(str(error)) is not None


def negative_sizes(error: BaseException | None, knobs: Mapping[str, Leaf]) -> dict[str, Any]:
    """The arguments that a failure calls negative dimensions, with values by their names."""
    said = {-int(number) for number in _NEGATIVE.findall(str(error))}
    found = {name: argnames.guess(name.rpartition(".")[2]) for name, leaf in knobs.items()
             if type(leaf.value) is int and leaf.value in said}  # fmt: skip
    return {name: value for name, value in found.items() if value is not None}


def called_words(error: BaseException | None, words: Mapping[str, str]) -> dict[str, Any]:
    """The classes of torch that arguments have to be which were given as words, where one was called: `act()`."""
    if not isinstance(error, TypeError) or str(error) != "'str' object is not callable":
        return {}
    classes = {name.lower(): held for name, held in vars(nn).items() if inspect.isclass(held)}
    return {name: classes[word] for name, word in words.items() if word in classes}


def as_large(error: BaseException | None, knobs: Mapping[str, Leaf], values: Mapping[str, Any]) -> dict[str, Any]:
    """Sizes of outputs that were guessed and have to be those of the input, where a failure names both."""
    named = set(map(int, re.findall(r"\d+", str(error))))
    guessed = {name: values.get(name) for name, leaf in knobs.items() if leaf.value is MISSING}
    sizes = {name: value for name, value in guessed.items() if type(value) is int and value in named}

    def called(table: tuple[str, ...]) -> list[str]:
        return [name for name in sizes if argnames.rank(name.rpartition(".")[2], table) is not None]

    read, made = called(argnames.INPUTS + argnames.IN_CHANNELS), called(argnames.OUTPUTS)
    return {name: sizes[read[0]] for name in made if read and sizes[read[0]] != sizes[name]}


def _chains(tree: ast.Module, line: int) -> Iterator[ast.expr]:
    """What was asked before the `raise` at a line: by the `if` that it stands in, and by those whose else it is."""
    for node in nodes_of(tree):
        if isinstance(node, ast.If):
            within = any(_raises_at(each, line) for each in (*node.body, *node.orelse))
            if within or any(_is_else_at(each, line) for each in node.orelse):
                yield node.test


def _raises_at(node: ast.stmt, line: int) -> bool:
    return isinstance(node, ast.Raise) and node.lineno <= line <= (node.end_lineno or 0)


def _is_else_at(node: ast.stmt, line: int) -> bool:
    """Whether a statement is the `elif` of a chain whose else raises at a line."""
    if not isinstance(node, ast.If):
        return False
    return any(_raises_at(each, line) or _is_else_at(each, line) for each in node.orelse)


def _texts(test: ast.expr, frame: FrameType) -> Iterator[tuple[str, tuple[str, ...]]]:
    """A text that is compared, and the texts that it is compared with."""
    for node in nodes_of(test):
        if isinstance(node, ast.Compare) and len(node.ops) == 1:
            value, other = worth(node.left, frame), worth(node.comparators[0], frame)
            texts = tuple(
                each for each in (other if isinstance(other, (tuple, dict)) else (other,)) if type(each) is str
            )
            if type(value) is str and texts:
                yield value, texts
