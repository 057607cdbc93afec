"""What a class can be called with, through decorators and subclasses that pass arguments on."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import sys
import typing
from collections.abc import Callable, Collection, Iterator
from types import CodeType, FunctionType
from typing import Any

from muaudit.targets import merged, sentinels
from muaudit.targets.source import class_node, function_node, nodes_of

_NESTED = 3  # calls that pass keywords on, one inside another
_BY_KEYWORD = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def parameters(called: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The arguments that can be passed by keyword, each with its default and its annotation resolved.

    Where a constructor or a function passes `**kwargs` on, those that its parent, or what it calls, takes are among
    them.
    """
    return _parameters(called, _NESTED)


def _parameters(called: Callable[..., Any], deep: int) -> dict[str, inspect.Parameter]:
    try:
        signature = inspect.signature(called)
    except (ValueError, TypeError):
        return {}
    found = {name: each for name, each in signature.parameters.items() if each.kind in _BY_KEYWORD}
    if _any_keyword(signature):
        if inspect.isclass(called):
            found = dict(_through_parents(called)) or found
        found = {**dict(_through_calls(called, deep)), **found} if deep else found
        found = {**dict(_taken_out(called)), **found}
    hints = resolved_annotations(called)
    found = {name: each.replace(annotation=hints.get(name, each.annotation)) for name, each in found.items()}
    factories = {
        each.name: each.default_factory
        for each in (dataclasses.fields(called) if dataclasses.is_dataclass(called) else ())
        if each.default_factory is not dataclasses.MISSING
    }
    made = {name: factory() for name, factory in factories.items() if name in found}
    return {name: each.replace(default=made[name]) if name in made else each for name, each in found.items()}


def takes_any_keyword(called: Callable[..., Any]) -> bool:
    """Whether arguments that no parameter is named for are taken too."""
    try:
        return _any_keyword(inspect.signature(called))
    except (ValueError, TypeError):
        return False


def resolved_annotations(called: Callable[..., Any]) -> dict[str, Any]:
    """The annotations of what a class or function takes; one that cannot be resolved stays the text it is."""
    if not inspect.isclass(called):
        return _of_function(called)
    found: dict[str, Any] = {}
    for cls in reversed(called.__mro__):
        if dataclasses.is_dataclass(cls) or getattr(cls, "_fields", None):
            space = vars(sys.modules.get(cls.__module__, typing))
            found |= {name: _resolved(each, space) for name, each in vars(cls).get("__annotations__", {}).items()}
        init = vars(cls).get("__init__")
        if callable(init) and cls is not object:
            found |= _of_function(init)
    return found


def may_be_size(annotation: Any) -> bool:
    """Whether an argument annotated like this can take a whole number, or a list of them."""
    if annotation in (None, inspect.Parameter.empty, int, Any):
        return True
    if isinstance(annotation, str):
        return re.search(r"\b(int|[Ll]ist|[Tt]uple|Sequence)\b", annotation) is not None
    parts = typing.get_args(annotation)
    return is_list(annotation) or (int in parts) or any(may_be_size(part) for part in parts if part is not type(None))


def is_list(annotation: Any) -> bool:
    """Whether an annotation speaks of a list."""
    return "list" in str(annotation).lower()


def _of_function(function: Callable[..., Any]) -> dict[str, Any]:
    function = inspect.unwrap(function)
    space = getattr(function, "__globals__", {})
    return {name: _resolved(each, space) for name, each in getattr(function, "__annotations__", {}).items()}


def _resolved(annotation: Any, space: dict[str, Any]) -> Any:
    """What the text of an annotation stands for where the file was written; typing's names need no import."""
    if not isinstance(annotation, str):
        return annotation
    try:
        return eval(annotation, {**vars(typing), **space})
    except Exception:
        return annotation


def _any_keyword(signature: inspect.Signature) -> bool:
    return any(each.kind is inspect.Parameter.VAR_KEYWORD for each in signature.parameters.values())


def _through_parents(cls: type) -> Iterator[tuple[str, inspect.Parameter]]:
    """The arguments of the first constructor and, as long as it passes on what it does not name, of the next ones."""
    seen: set[str] = set()
    for base in cls.__mro__:
        init = _behind(vars(base).get("__init__"))
        if init is None or base is object or base.__module__.startswith("torch."):
            continue
        own = list(inspect.signature(init).parameters.values())[1:]
        for each in own:
            if each.kind in _BY_KEYWORD and each.name not in seen:
                yield each.name, each
                seen.add(each.name)
        if not any(each.kind is inspect.Parameter.VAR_KEYWORD for each in own) or _keeps_to_itself(base):
            return
        seen |= _settled(base, [each.name for each in own])


def _through_calls(called: Callable[..., Any], deep: int) -> Iterator[tuple[str, inspect.Parameter]]:
    """What the classes and functions take that are called with `**kwargs` of one's own, beside what they are given.

    Of a class whose constructor passes all on to its parent's, that one's calls count, too.
    """
    inits = [_behind(vars(base).get("__init__")) for base in called.__mro__] if inspect.isclass(called) else []
    for function in [each for each in inits if each is not None] or [inspect.unwrap(called)]:
        code = getattr(function, "__code__", None)
        if code is None or not code.co_flags & inspect.CO_VARKEYWORDS:
            return
        yield from _through_calls_of(function, code, called, deep)


def _taken_out(called: Callable[..., Any]) -> Iterator[tuple[str, inspect.Parameter]]:
    """What a constructor takes out of its own `**kwargs` by name: `kwargs["masked"]`, `kwargs.pop("masked", False)`."""
    function = _behind(vars(called).get("__init__")) if inspect.isclass(called) else inspect.unwrap(called)
    code = getattr(function, "__code__", None)
    if code is None or not code.co_flags & inspect.CO_VARKEYWORDS:
        return
    keywords = code.co_varnames[code.co_argcount + code.co_kwonlyargcount + bool(code.co_flags & inspect.CO_VARARGS)]
    body = function_node(function)
    switches = sentinels.switches(called)
    known = merged.table(called, keywords)
    held = {keywords}
    for merge in merged.merges(body, keywords) if body is not None else ():
        held |= {ast.unparse(each) for each in merge.into}
    whole = class_node(called) if inspect.isclass(called) else None
    of_object = {each for each in held if each.startswith("self.")}
    read = [_taken_from(node, held) for node in (nodes_of(body) if body is not None else ())]
    read += [_taken_from(node, of_object) for node in (nodes_of(whole) if whole is not None and of_object else ())]
    for name, default in read:
        default = known.get(name, default)
        if name.isidentifier():
            hint = bool if name in switches else inspect.Parameter.empty
            yield name, inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint)


def _taken_from(node: ast.AST, held_as: Collection[str]) -> tuple[str, Any]:
    """The name that is taken out of a dict of these names, and its default; nothing where a node does not do that."""
    default: Any = inspect.Parameter.empty
    if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
        held, key = node.value, node.slice
    elif (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("get", "pop")
        and node.args
    ):
        held, key = node.func.value, node.args[0]
        other = node.args[1] if len(node.args) > 1 else None
        default = other.value if isinstance(other, ast.Constant) else None
    else:
        return "", default
    known = isinstance(key, ast.Constant) and ast.unparse(held) in held_as
    return (str(key.value) if known and isinstance(key, ast.Constant) else ""), default


def _through_calls_of(
    function: Callable[..., Any], code: CodeType, called: Callable[..., Any], deep: int
) -> Iterator[tuple[str, inspect.Parameter]]:
    keywords = code.co_varnames[code.co_argcount + code.co_kwonlyargcount + bool(code.co_flags & inspect.CO_VARARGS)]
    for call in _calls_passing(function_node(function), keywords):
        name = call.func.id if isinstance(call.func, ast.Name) else ""
        inner = getattr(function, "__globals__", {}).get(name)
        if not callable(inner) or inner is called:
            continue
        taken = _parameters(inner, deep - 1)
        places = [name for name, each in taken.items() if each.kind is not inspect.Parameter.KEYWORD_ONLY]
        by_place = places[: sum(not isinstance(each, ast.Starred) for each in call.args)]
        given = {*(keyword.arg for keyword in call.keywords), *by_place}
        yield from ((name, each) for name, each in taken.items() if name not in given)


def _calls_passing(node: ast.AST | None, keywords: str) -> Iterator[ast.Call]:
    """The calls in a function that are given `**keywords`."""
    for call in nodes_of(node) if node is not None else ():
        if isinstance(call, ast.Call) and any(
            each.arg is None and isinstance(each.value, ast.Name) and each.value.id == keywords
            for each in call.keywords
        ):
            yield call


def _behind(init: Any) -> Any:
    """A constructor, or the one that a decorator without `functools.wraps` keeps in its closure."""
    if not isinstance(init, FunctionType):
        return None
    for cell in init.__closure__ or ():
        held = cell.cell_contents if cell else None
        if isinstance(held, FunctionType) and held.__name__ == "__init__" and held is not init:
            return held
    return inspect.unwrap(init)


def _keeps_to_itself(cls: type) -> bool:
    """Whether a constructor calls its parent's with named arguments alone, whatever else it is given."""
    node = class_node(cls)
    calls = [
        call for call in (nodes_of(node) if node is not None else ())
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "__init__"
    ]  # fmt: skip
    stars = any(keyword.arg is None for call in calls for keyword in call.keywords)
    return bool(calls) and not stars and any(call.keywords for call in calls)


def _settled(cls: type, own: list[str]) -> set[str]:
    """The parent's arguments that a constructor gives itself, by keyword, beside what it passes on."""
    node = class_node(cls)
    found: set[str] = set()
    for call in nodes_of(node) if node is not None else ():
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute) or call.func.attr != "__init__":
            continue
        if any(keyword.arg is None for keyword in call.keywords):
            found |= {keyword.arg for keyword in call.keywords if keyword.arg is not None}
    return found
