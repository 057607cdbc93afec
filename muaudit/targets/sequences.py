"""Arguments that have to be lists, and how long they are, by what the constructor's text does with them.

`assert len(dims) == 3`, `height, width = image_size`, `zip(dims, depths)`, `channels[9]`: an argument without a default
and without an annotation shows there that one number will not do.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
import types
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, TypeGuard

from muaudit.targets.config_reads import entry, is_config_name
from muaudit.targets.source import class_node, function_node, nodes_of
from muaudit.targets.usercode import looked_up

_USUAL, _PAIRED = 2, 4
_WALKED = ("zip", "enumerate", "list", "tuple", "reversed", "sum", "len", "map", "sorted")


@dataclass(frozen=True)
class Sequence:
    """A list that an argument has to be. length: 0 where any will do. changed: it is a list, not a tuple.

    through: each entry and the next are the input and the output of a layer, from that of the model to its own.
    places: all that is asked is whether a place is in it, of levels or of layers.
    """

    length: int = 0
    changed: bool = False
    through: bool = False
    places: bool = False

    def of(self, values: tuple[Any, ...]) -> Any:
        """These values as what the argument has to be."""
        return list(values) if self.changed else values


_Known = dict[tuple[Any, int], dict[str, Sequence]]


def listed(called: Callable[..., Any], deep: int = 2, known: _Known | None = None) -> dict[str, Sequence]:
    """The arguments of a constructor or a function that have to be lists. deep: calls that they are looked_up into.

    known: what was found out already of what they are handed on to.
    """
    known = {} if known is None else known
    if (called, deep) not in known:
        known[called, deep] = _listed(called, deep, known)
    return known[called, deep]


def _listed(called: Callable[..., Any], deep: int, known: _Known) -> dict[str, Sequence]:
    found: dict[str, Sequence] = {}
    for function in _functions(called):
        for name in _names(function):
            if name in found:
                continue
            shape = _as_list(function, name) or (_as_list(function, f"self.{name}") if _kept(function, name) else None)
            inner = _handed_on(called, function, name, deep, known) if deep else None
            shape = replace(shape, through=shape.through or inner.through) if shape and inner else shape or inner
            if shape is not None:
                found[name] = shape
        for inner in _given_config(called, function) if deep else ():
            fields = {name for each in _functions(inner) for name in _fields(each)}
            found |= {name: each for name, each in listed(inner, deep - 1, known).items()
                      if name in fields and name not in found}  # fmt: skip
    used = {each.length for each in found.values() if each.length > 1} | _defaults(called)
    usual = used.pop() if len(used) == 1 else _USUAL
    lengths = {name: _PAIRED if each.through else usual for name, each in found.items()}
    fixed = {name: each.length for name, each in found.items() if each.length > each.through}  # `sizes[0]` fixes none
    return {name: replace(each, length=fixed.get(name, lengths[name])) for name, each in found.items()}


def annotated(annotation: Any, by_text: Sequence | None) -> Sequence | None:
    """The list that an annotation speaks of, with the length that the text shows; None where a number will do."""
    said = str(annotation).lower()
    if not re.search(r"\b(list|tuple|sequence|iterable)\b", said):
        return by_text
    parts = typing.get_args(annotation)
    if typing.get_origin(annotation) in (typing.Union, types.UnionType) and {int, float} & set(parts):
        return None
    if typing.get_origin(annotation) is tuple and parts and Ellipsis not in parts:
        return Sequence(len(parts))
    shown = by_text or Sequence(_USUAL)
    return replace(shown, changed="list" in said)


def _functions(called: Callable[..., Any]) -> Iterator[ast.FunctionDef]:
    if not inspect.isclass(called):
        node = function_node(inspect.unwrap(called))
        yield from [node] if node is not None else []
        return
    for base in called.__mro__:
        node_of = class_node(base) if not base.__module__.startswith(("torch.", "builtins")) else None
        for statement in node_of.body if node_of is not None else ():
            if isinstance(statement, ast.FunctionDef) and statement.name == "__init__":
                yield statement


def _names(function: ast.FunctionDef) -> list[str]:
    """The arguments of a function, and the fields that it reads from a config."""
    return [*(each.arg for each in (*function.args.args, *function.args.kwonlyargs)), *_fields(function)]


def _fields(function: ast.FunctionDef) -> dict[str, None]:
    """The fields and entries that a function reads from a config."""
    read = ((entry(node), node) for node in nodes_of(function) if isinstance(node, (ast.Attribute, ast.Subscript)))
    return dict.fromkeys(name for name, node in read if name is not None and _is_config(node.value))


def _given_config(called: Any, function: ast.FunctionDef) -> Iterator[Any]:
    """The classes and functions that a function hands its config on to."""
    for call in nodes_of(function):
        if isinstance(call, ast.Call) and any(map(_is_config, call.args)):
            inner = _named(called, call.func)
            if callable(inner) and inner is not called and not _foreign(inner):
                yield inner


def _named(called: Any, function: ast.expr) -> Any:
    """What goes by a name, or by that of a module and its own, in the file of a class: `Block`, `layers.Block`."""
    parts = ast.unparse(function).split(".") if isinstance(function, (ast.Name, ast.Attribute)) else [""]
    return looked_up(sys.modules.get(getattr(called, "__module__", "")), parts)


def _handed_on(
    called: Any, function: ast.FunctionDef, name: str, deep: int, known: _Known
) -> Sequence | None:  # fmt: skip
    """What a class or function that the file knows wants that an argument is handed on to as it is."""
    for call in nodes_of(function):
        if not isinstance(call, ast.Call):
            continue
        inner = _named(called, call.func)
        if not callable(inner) or inner is called or _foreign(inner):
            continue
        taken = _taken(inner)
        places = [taken[at] for at, each in enumerate(call.args[: len(taken)]) if _is(each, name)]
        places += [each.arg for each in call.keywords if each.arg is not None and _is(each.value, name)]
        wanted = listed(inner, deep - 1, known) if places else {}
        if any(place in wanted for place in places):
            return next(wanted[place] for place in places if place in wanted)
    return None


def _foreign(called: Any) -> bool:
    return str(getattr(called, "__module__", "")).partition(".")[0] in ("torch", "builtins", "typing", "numpy")


def _taken(called: Any) -> list[str]:
    try:
        return list(inspect.signature(called).parameters)
    except (TypeError, ValueError):
        return []


def _defaults(called: Callable[..., Any]) -> set[int]:
    """The lengths of the lists that other arguments have for a default."""
    try:
        values = [each.default for each in inspect.signature(called).parameters.values()]
    except (TypeError, ValueError):
        return set()
    return {len(each) for each in values if isinstance(each, (list, tuple)) and len(each) > 1}


@lru_cache(maxsize=4096)  # a class is read for several questions
def _as_list(function: ast.FunctionDef, name: str) -> Sequence | None:
    """What the first statements that mention an argument do with it, until it is another value by the same name."""
    length, found, changed, through, places = 0, False, False, False, True
    for statement in function.body:
        if any(_may_be_listed(node, name) for node in nodes_of(statement)) and not found:
            return None  # `if isinstance(act, list): ... else: ...`
        stored = [each.lineno for each in nodes_of(statement) if _stores(each, name)]
        for node in nodes_of(statement):
            if stored and getattr(node, "lineno", 0) > min(stored):
                continue  # `name = name.split()` and what is done with that
            exact, seen = _use(node, name)
            length, found = max(length, exact), found or seen
            places &= not seen or isinstance(node, ast.Compare)
            through |= _next_one(node, name)
            changed |= isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store) and _is(node.value, name)
            if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
                sides = (node.left, node.right)
                changed |= any(isinstance(each, ast.List) for each in sides) and any(_is(each, name) for each in sides)
        if _replaced(statement, name) and not (isinstance(statement, ast.Assign) and _is(statement.value, name)):
            if not found:
                return None  # `dims = to_tuple(dims, 4)`, `if isinstance(dims, int): dims = [dims]`
            if isinstance(statement, ast.Assign):
                break
    return Sequence(length, changed, through, found and places and not length) if found else None


@lru_cache(maxsize=4096)
def _kept(function: ast.FunctionDef, name: str) -> bool:
    """Whether an argument is kept as it is, `self.dims = dims`, and nothing else is by that name."""
    stored = [each for each in nodes_of(function) if isinstance(each, ast.Assign)
              and any(ast.unparse(target) == f"self.{name}" for target in each.targets)]  # fmt: skip
    return len(stored) == 1 and _is(stored[0].value, name)


def _next_one(node: ast.AST, name: str) -> bool:
    """`sizes[i + 1]`, `sizes[i - 1]`, `sizes[1:]`, `sizes[:-1]`."""
    if not isinstance(node, ast.Subscript) or not _is(node.value, name):
        return False
    at = node.slice
    if isinstance(at, ast.Slice):
        return ast.unparse(at) in ("1:", ":-1")
    one = isinstance(at, ast.BinOp) and isinstance(at.op, (ast.Add, ast.Sub)) and isinstance(at.right, ast.Constant)
    return one and isinstance(at, ast.BinOp) and ast.unparse(at.right) == "1"


def _use(node: ast.AST, name: str) -> tuple[int, bool]:
    """How long a list an expression wants, 0 where any will do, and whether it wants one."""
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and isinstance(node.ops[0], ast.Eq):
        sides = (node.left, node.comparators[0])
        numbers = [each.value for each in sides if isinstance(each, ast.Constant) and isinstance(each.value, int)]
        if numbers and any(_called(each) == "len" and _given(each, name) for each in sides):
            return numbers[0], True
    if isinstance(node, ast.Compare) and isinstance(node.ops[0], (ast.In, ast.NotIn)):
        return 0, _is(node.comparators[0], name)
    if isinstance(node, ast.Assert) and _called(node.test) == "isinstance" and _given(node.test, name):
        kinds = ast.unparse(node.test.args[1]) if isinstance(node.test, ast.Call) and len(node.test.args) > 1 else ""
        return 0, ("tuple" in kinds or "list" in kinds) and "int" not in kinds
    if isinstance(node, ast.Assign) and _is(node.value, name) and isinstance(node.targets[0], ast.Tuple):
        return len(node.targets[0].elts), True
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):  # `[inputs] + sizes`
        return 0, any(isinstance(each, ast.List) for each in (node.left, node.right)) and (
            _is(node.left, name) or _is(node.right, name)
        )
    if isinstance(node, ast.Subscript) and _is(node.value, name) and isinstance(node.slice, ast.Slice):
        return _PAIRED, True  # `zip(sizes, sizes[1:])`: from the input through hidden layers to the output
    if isinstance(node, ast.Subscript) and _is(node.value, name) and isinstance(node.ctx, ast.Load):
        place = node.slice.value if isinstance(node.slice, ast.Constant) else None
        return (place + 1, True) if type(place) is int else (0, not isinstance(place, str))
    if isinstance(node, (ast.For, ast.comprehension)) and _is(node.iter, name):
        return 0, True
    return 0, isinstance(node, ast.Call) and _called(node) in _WALKED and _given(node, name)


def _may_be_listed(node: ast.AST, name: str) -> bool:
    """Whether it is asked if an argument is a list, and something done where it is none."""
    test = node.test if isinstance(node, (ast.If, ast.IfExp)) and node.orelse else node
    asks = isinstance(test, ast.Call) and _called(test) == "isinstance" and _is(test.args[0], name)
    return test is not node and asks and re.search(r"\b(list|tuple)\b", ast.unparse(test)) is not None


def _replaced(statement: ast.stmt, name: str) -> bool:
    return any(_stores(node, name) for node in nodes_of(statement))


def _stores(node: ast.AST, name: str) -> TypeGuard[ast.Name]:
    return isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Store)


def _given(call: ast.expr, name: str) -> bool:
    return isinstance(call, ast.Call) and any(_is(each, name) for each in call.args)


def _called(node: ast.AST) -> str:
    return node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""


def _is(node: ast.AST, name: str) -> bool:
    """Whether an expression is the argument of that name, or the field of that name of a config."""
    if isinstance(node, (ast.Attribute, ast.Subscript)):
        return (entry(node) == name and _is_config(node.value)) or ast.unparse(node) == name
    return isinstance(node, ast.Name) and node.id == name


def _is_config(node: ast.AST) -> bool:
    """Whether an expression is a config, or a part of one: `config`, `self.config`, `config.model`."""
    if isinstance(node, ast.Attribute) and _is_config(node.value):
        return True
    name = node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", None)
    return name is not None and is_config_name(name, None)
