"""What code reads of a config that it is given: its fields, the fields of these, and what they are handed on to reads.

The class that is given it is read, its bases, and every class and function, of whatever file, that they hand it on to.
Where that cannot be told, as of `BLOCKS[kind](config)`, all that stands in the file counts.
"""

from __future__ import annotations

import ast
import builtins
import functools
import inspect
import sys
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from muaudit.targets.merged import merges
from muaudit.targets.source import class_node, function_node, is_variable, nodes_of, tree_of
from muaudit.targets.usercode import looked_up
from muaudit.targets.userfiles import is_user_file

Fields = dict[str, "Fields"]
"""Fields by name, each with its own where it is read like a config: `{"model": {"gpt": {"width": {}}}}`."""

_NAMES = (
    "config", "cfg", "conf", "args", "params", "hparams", "hps", "opt", "opts", "options", "settings", "model_args",
    "model_config", "model_cfg", "configs", "hp", "hyperparams", "model_params", "c", "h",
)  # fmt: skip
_ENDS = ("_config", "_cfg", "_params", "_conf", "_args", "_hparams")
_PLAIN = (bool, int, float, str, list, tuple, type(None))
OF_TENSORS = ("shape", "size", "dtype", "device", "ndim", "T", "weight", "data")
_OWN = object()
"""What is called is held by the object itself, or its parent's."""


@dataclass(frozen=True)
class Accessed:
    """The fields that are read of a config: `config.n_embd`, or `config["n_embd"]` when `subscripts` is set.

    both: some code does the one and the other, as dicts with attributes allow.
    """

    fields: Fields
    subscripts: bool = False
    both: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.fields)

    def __bool__(self) -> bool:
        return bool(self.fields)


@dataclass(frozen=True)
class _Place:
    """Code that has a config, or the part of it that `path` leads to, in a variable or attribute of this name."""

    node: ast.AST
    name: str
    module: ModuleType
    path: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Read:
    """A field and what it is a field of, from the config on. entry: it is an entry of it: `config["model"]`."""

    path: tuple[str, ...]
    entry: bool
    mixed: bool


def is_config_name(name: str, hint: Any) -> bool:
    """Whether an argument is called like a config and is not annotated as something plain."""
    return (name.lower() in _NAMES or name.lower().endswith(_ENDS)) and hint not in _PLAIN


def accessed_fields(module: ModuleType, name: str, called: Any = None) -> Accessed:
    """The fields that are read of variables (or attributes) of this name by what is called with it.

    called: the class or function, of `module`; where it reads none, or is not told, the whole file counts.
    """
    return _accessed(_reached(module, name, called) or []) or _accessed(_everywhere(module, name))


def _accessed(places: list[_Place]) -> Accessed:
    read = [(place, list(_reads(place))) for place in places]
    both = any(
        isinstance(place.node, (ast.ClassDef, ast.FunctionDef)) and any(each.entry for each in found)
        and any(not each.entry and each.path[-1] not in OF_TENSORS for each in found)
        for place, found in read
    )  # fmt: skip
    own = [found for place, found in read if found and place.module is places[0].module]
    entries = any(each.entry for found in own or [found for _, found in read] for each in found)
    kept = [each for _, found in read for each in found if both or each.entry == entries]
    fields: Fields = {}
    for each in kept:
        held = fields
        for field in each.path:
            held = held.setdefault(field, {})
    return Accessed(fields, entries, both or any(each.mixed for each in kept))


def _reads(place: _Place) -> Iterator[_Read]:
    """What a place reads, each field behind the one that it is read of; what is called is no field but a method."""
    nodes = nodes_of(place.node)
    called = {id(node.func) for node in nodes if isinstance(node, ast.Call)}
    for node in nodes:
        stored = isinstance(node, ast.Subscript) and not isinstance(node.ctx, ast.Load)
        found = None if id(node) in called or stored else _path(node, place.name)
        if found:
            kinds = [isinstance(each, ast.Subscript) for each in found]
            yield _Read((*place.path, *map(entry, found)), kinds[0], len(set(kinds)) > 1)  # type: ignore[arg-type]


def _path(node: ast.AST, name: str) -> list[ast.AST] | None:
    """The steps from a variable of this name to an expression, none for itself; None where it starts elsewhere."""
    steps: list[ast.AST] = []
    while not is_variable(node, name):
        if entry(node) is None:
            return None
        steps.insert(0, node)
        node = node.value  # type: ignore[attr-defined]
    return steps


def entry(node: ast.AST) -> str | None:
    """What is read of something: `b` of `a.b` and of `a["b"]`."""
    if isinstance(node, ast.Attribute):
        return node.attr
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str):
        return node.slice.value
    return None


def _everywhere(module: ModuleType, name: str, deep: int = 3) -> list[_Place]:
    """All that stands in a file, and in those of the classes and functions of the user's with such an argument."""
    tree = tree_of(module.__file__)
    found = [_Place(each, name, module) for each in (tree.body if tree is not None else ())]
    found += [alias for place in found for alias in _aliases(place)]
    seen = {module.__name__}
    for value in list(vars(module).values()) if deep else ():
        home = _home(value)
        if home is not None and home.__name__ not in seen and name in taken(value):
            seen.add(home.__name__)
            found += _everywhere(home, name, deep - 1)
    return found


def _reached(module: ModuleType, name: str, called: Any) -> list[_Place] | None:
    """What a class or function is given a config for, and what that is handed on to; None where that is not told."""
    found: dict[tuple[Any, ...], _Place] = {}
    waiting = _of(called, name) if called is not None else []
    while waiting:
        place = waiting.pop(0)
        key = (place.module.__name__, getattr(place.node, "lineno", 0), place.name, place.path)
        if key in found:
            continue
        found[key] = place
        handed = _handed(place)
        if handed is None:
            return None
        waiting += [*_aliases(place), *handed]
    return list(found.values())


def _of(called: Any, name: str, path: tuple[str, ...] = ()) -> list[_Place]:
    """The text of a class and its bases, or of a function, that are the user's."""
    called = inspect.unwrap(called.func if isinstance(called, functools.partial) else called)
    found = [(each, class_node(each)) for each in called.__mro__] if inspect.isclass(called) else []
    places: list[tuple[Any, ast.AST | None]] = [*found, *([] if found else [(called, function_node(called))])]
    return [_Place(node, name, home, path) for each, node in places
            if node is not None and (home := _home(each)) is not None]  # fmt: skip


def _home(value: Any) -> ModuleType | None:
    """The module of a class or function of the user's."""
    home = sys.modules.get(str(getattr(value, "__module__", ""))) if callable(value) else None
    file = getattr(home, "__file__", None)
    return home if file is not None and is_user_file(file) else None


def taken(value: Any) -> Collection[str]:
    try:
        return inspect.signature(value).parameters
    except (TypeError, ValueError):
        return ()


def _aliases(place: _Place) -> Iterator[_Place]:
    """The same config, or a part of it, by another name: `self.args = model_args`, `model = config.model`.

    So is what it is merged into.
    """
    for node in nodes_of(place.node):
        if isinstance(node, ast.Assign) and (steps := _path(node.value, place.name)) is not None:
            path = (*place.path, *filter(None, map(entry, steps)))
            yield from _renamed(
                place, node, [each for each in node.targets if steps or isinstance(each, ast.Attribute)], path
            )
    for merge in merges(place.node, place.name):
        yield from _renamed(place, merge.node, merge.into, place.path)


def _renamed(place: _Place, node: ast.AST, into: Iterable[ast.expr], path: tuple[str, ...]) -> Iterator[_Place]:
    """The places where a config has the names that it is given at a node."""
    for target in into:
        if isinstance(target, ast.Name):
            around = [each for each in nodes_of(place.node) if isinstance(each, ast.FunctionDef)]
            inner = [each for each in around if node in nodes_of(each)]
            yield _Place(inner[-1] if inner else place.node, target.id, place.module, path)
        elif isinstance(target, ast.Attribute) and target.attr != place.name and is_config_name(target.attr, None):
            yield _Place(place.node, target.attr, place.module, path)


def _handed(place: _Place) -> list[_Place] | None:
    """What of the user's is called with the config; None where some of it cannot be told from the text."""
    found: list[_Place] = []
    for call in (each for each in nodes_of(place.node) if isinstance(each, ast.Call)):
        given: list[tuple[int | str, ast.expr]] = [*enumerate(call.args)]
        given += [(each.arg, each.value) for each in call.keywords if each.arg is not None]
        for at, value in given:
            steps = _path(value, place.name)
            if steps is None:
                continue
            function = _meant(call.func, place)
            if function is None and not steps:
                return None
            path = (*place.path, *filter(None, map(entry, steps)))
            found += _given(function, at, path, bool(steps), place)
    return found


def _given(function: Any, at: int | str, path: tuple[str, ...], part: bool, place: _Place) -> list[_Place]:
    """The text of what is called with a config, or a part of one, under the name that it has there."""
    if isinstance(function, ast.FunctionDef):  # a method of the class itself
        names = [each.arg for each in function.args.args][1:]
    else:
        names = list(taken(function)) if function is not None and _home(function) is not None else []
    name = at if isinstance(at, str) else names[at] if at < len(names) else ""
    if not name or name not in names or (part and not is_config_name(name, None)):
        return []
    if isinstance(function, ast.FunctionDef):
        return [_Place(function, name, place.module, path)]
    return _of(function, name, path)


def _meant(function: ast.expr, place: _Place) -> Any:
    """What is called: a class or function that the file knows, a method of the class itself; None for any other.

    What is built in, and a method of a parent, is a call that reads no field.
    """
    parts = ast.unparse(function).split(".") if isinstance(function, (ast.Name, ast.Attribute)) else [""]
    if parts[0] in ("self", "cls") or parts[0].startswith("super("):
        defined = [each for each in nodes_of(place.node) if isinstance(each, ast.FunctionDef)]
        methods = [each for each in defined if [parts[0], each.name] in (["self", *parts[1:]], ["cls", *parts[1:]])]
        return methods[0] if methods else _OWN
    return looked_up(vars(place.module).get(parts[0], getattr(builtins, parts[0], None)), parts[1:])
