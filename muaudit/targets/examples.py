"""Values that the code around a model gives to its arguments: calls of it, parsers' defaults, configurations beside it.

Asked only for arguments that have no default and whose names say nothing. The model's own file counts first. Of others,
calls of the model, parsers' defaults and configurations count before anything else by that name, and what is nearest
first: the file's folder, then the repository.
"""

from __future__ import annotations

import ast
import contextlib
import inspect
import operator
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from muaudit.errors import UserError
from muaudit.reading import Malformed, parse_json, parse_yaml, read_text
from muaudit.targets.source import nodes_of, read_source, tree_of

_ROOTS = (".git", "setup.py", "pyproject.toml", "setup.cfg", "requirements.txt", "README.md", "README", "README.rst")
_SPARED = ("__pycache__", "node_modules", "site-packages", "build", "dist", "data", "datasets", "docs")
_MOST_FILES, _MOST_BYTES, _UP = 150, 200_000, 4
_ARITHMETIC: dict[type, Callable[[int, int], int]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.FloorDiv: operator.floordiv,
}  # fmt: skip
_NUMBERS: dict[str, Callable[[str], Any]] = {"int": int, "float": float}
_DATA = (".json", ".yaml", ".yml")


@dataclass(frozen=True)
class Example:
    """A value, and where it stands: `train.py:31`."""

    value: Any
    where: str


def examples(
    names: Collection[str], module: ModuleType, called: Callable[..., Any], lists: Collection[str] = ()
) -> dict[str, Example]:
    """What the nearest code gives to these arguments of a class or a function; those that nothing does are left out.

    lists: those of which one number is no value.
    """
    found: dict[str, Example] = {}
    loose: dict[str, Example] = {}
    if module.__file__ is None or not os.path.isfile(module.__file__):
        return found
    own = Path(module.__file__)
    for file in _around(own):
        for name, value, line, said in _values(file, called, module if file == own else None):
            into = found if said or file == own else loose
            if name in names and name not in into and _counts(value, name in lists):
                used = _taken_apart(file, name, value) if isinstance(value, str) else value
                into[name] = Example(used, f"{file.name}:{line}" if line else file.name)
        if len(found) == len(set(names)):
            break
    return {**loose, **found}


def _counts(value: Any, listed: bool) -> bool:
    """Whether a value says anything: nothing and an empty text or list do not, nor one number where several are due.

    `???` is what configurations write for what has yet to be given.
    """
    says = value is not None and value not in ("", "???", [], (), {})
    return says and not (listed and isinstance(value, (int, float)))


def _around(own: Path) -> Iterator[Path]:
    """The file, those beside it, then those of the repository, as far as they are small and few."""
    yield own
    roots = [folder for folder in list(own.parents)[:_UP] if any((folder / name).exists() for name in _ROOTS)]
    left, seen = _MOST_FILES, {own}
    above = [each for each in own.parents[:_UP] if roots and each.is_relative_to(roots[0])]
    for at, folder in enumerate([own.parent, *above]):
        deep = at > 0  # those beside it first
        for file in _files(folder, deep):
            if file not in seen:
                seen.add(file)
                left -= 1
                yield file
            if not left:
                return


def _files(folder: Path, deep: bool) -> Iterator[Path]:
    """The small files of a folder that may hold values, then those of the folders below it."""
    with contextlib.suppress(OSError):
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        for entry in entries:
            if entry.name.endswith((".py", *_DATA)) and entry.is_file() and entry.stat().st_size < _MOST_BYTES:
                yield Path(entry.path)
        for entry in entries if deep else ():
            if entry.is_dir(follow_symlinks=False) and not entry.name.startswith(".") and entry.name not in _SPARED:
                yield from _files(Path(entry.path), deep)


def _values(file: Path, called: Callable[..., Any], own: ModuleType | None) -> Iterator[tuple[str, Any, int, bool]]:
    """(name, value, line, whether it is said for a model) of all that a file names and that is written out there.

    Calls of the model come first. own: the module of the model's own file, whose classes are values too.
    """
    if file.suffix in _DATA:
        with contextlib.suppress(UserError, Malformed, ValueError):
            text = read_text(file, most=_MOST_BYTES)
            yield from (
                (*each, True) for each in _held(parse_json(text) if file.suffix == ".json" else parse_yaml(text))
            )
        return
    tree = _tree(file)
    if tree is not None:
        yield from ((*each, True) for each in _of_calls(tree, called, own))
        yield from ((*each, True) for each in _parsed(tree))
        yield from ((*each, True) for each in _assigned(tree, fields=True))
        yield from ((*each, False) for each in _named(tree))


def _tree(file: Path) -> ast.Module | None:
    found = tree_of(str(file))
    if found is None:
        with contextlib.suppress(UserError, SyntaxError, ValueError, RecursionError, MemoryError):
            found = ast.parse(read_source(file))
    return found


def _held(data: Any, deep: int = 4) -> Iterator[tuple[str, Any, int]]:
    if isinstance(data, Mapping):
        for name, value in data.items():
            if isinstance(value, Mapping):
                if deep:
                    yield from _held(value, deep - 1)
            elif isinstance(name, str):
                yield name, value, 0


def _of_calls(
    tree: ast.Module, called: Callable[..., Any], own: ModuleType | None
) -> Iterator[tuple[str, Any, int]]:  # fmt: skip
    """What the model itself is called with, by place or by name, also by way of variables."""
    name = getattr(called, "__name__", "")
    calls = [
        node for node in nodes_of(tree)
        if isinstance(node, ast.Call) and name in (getattr(node.func, "id", ""), getattr(node.func, "attr", ""))
    ]  # fmt: skip
    try:
        taken = list(inspect.signature(called).parameters)
    except (TypeError, ValueError):
        taken = []
    variables: dict[str, Any] = {}
    for known, value, _ in _assigned(tree) if calls else ():
        variables.setdefault(known, value)
    for call in calls:
        given = [(keyword.arg, keyword.value) for keyword in call.keywords if keyword.arg]
        given += [(taken[at], each) for at, each in enumerate(call.args[: len(taken)])]
        for argument, node in given:
            value = variables.get(node.id) if isinstance(node, ast.Name) else _literal(node)
            if value is None and isinstance(node, ast.Name) and inspect.isclass(getattr(own, node.id, None)):
                value = getattr(own, node.id)
            if value is not None:
                yield argument, value, call.lineno


def _named(tree: ast.Module) -> Iterator[tuple[str, Any, int]]:
    """Assignments, keywords, entries of dicts and defaults of functions, in the file's order."""
    yield from _assigned(tree)
    for node in nodes_of(tree):
        if isinstance(node, ast.keyword) and node.arg:
            yield node.arg, _literal(node.value), node.value.lineno
        elif isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and isinstance(key.value, str):
                    yield key.value, _literal(value), value.lineno
        elif isinstance(node, ast.arguments):
            pairs = zip((*node.posonlyargs, *node.args)[::-1], node.defaults[::-1], strict=False)
            yield from ((each.arg, _literal(default), default.lineno) for each, default in pairs)


def _parsed(tree: ast.Module) -> Iterator[tuple[str, Any, int]]:
    """The defaults of a command line: `parser.add_argument("--n-layer", default=4)`."""
    for call in nodes_of(tree):
        if isinstance(call, ast.Call) and getattr(call.func, "attr", "") in ("add_argument", "add_option"):
            default = next((_literal(each.value) for each in call.keywords if each.arg == "default"), None)
            switch = any(each.arg == "action" and _literal(each.value) == "store_true" for each in call.keywords)
            for flag in map(_literal, call.args):
                if isinstance(flag, str):
                    name = flag.lstrip("-").replace("-", "_")
                    yield name, False if switch and default is None else default, call.lineno


def _taken_apart(file: Path, name: str, text: str) -> Any:
    """A text, or the list that its file makes of it: `args.sizes = [int(each) for each in args.sizes.split(",")]`."""
    tree = _tree(file) if file.suffix == ".py" else None
    for node in nodes_of(tree) if tree is not None else ():
        if not isinstance(node, ast.Assign) or name not in map(_called, node.targets):
            continue
        inside = nodes_of(node.value)
        for call in (each for each in inside if isinstance(each, ast.Call) and isinstance(each.func, ast.Attribute)):
            if call.func.attr == "split" and _called(call.func.value) == name:  # type: ignore[attr-defined]
                kinds = [_NUMBERS[each.id] for each in inside if isinstance(each, ast.Name) and each.id in _NUMBERS]
                with contextlib.suppress(ValueError, TypeError):
                    return [*map(kinds[0] if kinds else str, text.split(*map(_literal, call.args)))]
    return text


def _called(node: ast.AST) -> str:
    """The name of a variable or an attribute."""
    return node.id if isinstance(node, ast.Name) else getattr(node, "attr", "")


def _assigned(tree: ast.AST, fields: bool = False) -> Iterator[tuple[str, Any, int]]:
    """`depth = 4`, `args.depth = 4`, `B, H = 2, 4`. fields: those alone that are written into something, as into a
    configuration, that is not `self`."""
    for node in nodes_of(tree):
        if not isinstance(node, (ast.Assign, ast.AnnAssign)) or node.value is None:
            continue
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            pairs = [(target, node.value)]
            if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                pairs = list(zip(target.elts, node.value.elts, strict=False))
            for name, value in pairs:
                known = name.id if isinstance(name, ast.Name) else getattr(name, "attr", "")
                written = isinstance(name, ast.Attribute) and ast.unparse(name.value) != "self"
                if known and (written or not fields):
                    yield known, _literal(value), node.lineno


def _literal(node: ast.AST) -> Any:
    """What is written out; None for everything that is not, and for nothing."""
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:  # 24 * 7
        left, right = _literal(node.left), _literal(node.right)
        if type(left) is int and type(right) is int and right != 0:
            return _ARITHMETIC[type(node.op)](left, right)
    if isinstance(node, (ast.List, ast.Tuple, ast.UnaryOp)):
        with contextlib.suppress(ValueError, TypeError):
            return ast.literal_eval(node)
    return None
