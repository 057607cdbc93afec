"""What a config is merged into, and the values that it is merged with: `hp = {**DEFAULTS, **config}`."""

from __future__ import annotations

import ast
import contextlib
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from muaudit.targets.source import class_node, function_node, is_variable, nodes_of
from muaudit.targets.userfiles import is_user_file

_COPIES = ("dict", "copy", "deepcopy", "merge")


@dataclass(frozen=True)
class Merge:
    """A statement that merges a config with other dicts.

    into: what holds all of it afterwards. parts: the dicts that are merged, the config among them.
    """

    node: ast.Assign | ast.Call
    into: tuple[ast.expr, ...]
    parts: tuple[ast.expr, ...]


def merges(root: ast.AST, name: str) -> Iterator[Merge]:
    """The statements below a node that merge a variable or attribute of this name with something."""
    nodes = nodes_of(root)
    for node in nodes:
        if isinstance(node, ast.Assign):
            into, parts = tuple(node.targets), tuple(_parts(node.value))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "update":
            into = (node.func.value,)
            held = ast.unparse(node.func.value)
            before = [each.value for each in nodes if isinstance(each, ast.Assign)
                      and held in map(ast.unparse, each.targets)]  # fmt: skip
            parts = tuple(part for each in (*before, *node.args) for part in (each, *_parts(each)))
        else:
            continue
        if any(is_variable(part, name) for part in parts):
            yield Merge(node, into, parts)


def table(called: Callable[..., Any], name: str) -> dict[str, Any]:
    """The values that a constructor merges an argument of this name with, as far as they are known without it."""
    cls = called if inspect.isclass(called) else None
    node = class_node(cls) if cls is not None else function_node(called)
    home = sys.modules.get(str(getattr(called, "__module__", "")))
    space = vars(home) if home is not None else {}
    found: dict[str, Any] = {}
    for merge in merges(node, name) if node is not None else ():
        for part in merge.parts:
            found |= _entries(part, space, cls)
    return {key: value for key, value in found.items() if isinstance(key, str)}


def _parts(value: ast.expr) -> Iterator[ast.expr]:
    """The dicts whose entries an expression holds: `{**a, **b}`, `a | b`, `dict(a, **b)`, `copy(a)`, `a or {}`."""
    if isinstance(value, ast.Dict):
        parts = [each for key, each in zip(value.keys, value.values, strict=True) if key is None]
    elif isinstance(value, ast.BinOp):
        parts = [value.left, value.right] if isinstance(value.op, ast.BitOr) else []
    elif isinstance(value, (ast.BoolOp, ast.IfExp)):
        parts = value.values if isinstance(value, ast.BoolOp) else [value.body, value.orelse]
    elif isinstance(value, ast.Call) and ast.unparse(value.func).rpartition(".")[2] in _COPIES:
        held = [value.func.value] if isinstance(value.func, ast.Attribute) else []
        parts = [*held, *value.args, *(each.value for each in value.keywords if each.arg is None)]
    else:
        parts = []
    if parts:
        yield value
    for part in parts:
        yield part
        yield from _parts(part)


def _entries(part: ast.expr, space: Mapping[str, Any], cls: type | None) -> dict[Any, Any]:
    """The entries of one dict: those written out, or of a table of the module's or the class's."""
    pairs: list[tuple[ast.expr | None, ast.expr]] = []
    held: Any = None
    if isinstance(part, ast.Dict):
        pairs = [*zip(part.keys, part.values, strict=True)]
    elif isinstance(part, ast.Call) and ast.unparse(part.func) == "dict":
        pairs = [(ast.Constant(each.arg), each.value) for each in part.keywords if each.arg is not None]
    elif isinstance(part, ast.Call) and isinstance(part.func, ast.Name) and not part.args and not part.keywords:
        function = space.get(part.func.id)
        if inspect.isfunction(function) and is_user_file(function.__code__.co_filename):
            with contextlib.suppress(Exception):
                held = function()
    elif isinstance(part, ast.Name):
        held = space.get(part.id)
    elif isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name):
        held = getattr(space.get(part.value.id, cls), part.attr, None)
    found: dict[Any, Any] = dict(held) if isinstance(held, Mapping) else {}
    for key, value in pairs:
        with contextlib.suppress(ValueError):
            found[ast.literal_eval(key) if key is not None else None] = ast.literal_eval(value)
    return found
