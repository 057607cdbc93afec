"""Defaults that stand for nothing (None, -1), where the constructor asserts that something was given."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from muaudit.targets import argnames
from muaudit.targets.source import class_node

_NESTED = 4  # how many assignments an asserted name is followed through


def asserted(classes: Iterable[type]) -> set[str]:
    """The arguments and fields that the constructors of these classes want given: `assert x is not None`, `x > 0`."""
    found: set[str] = set()
    for cls in classes:
        for function in _constructors(cls):
            assigned = assignments(function)
            for test, holds in _tests(function):
                pairs = list(compared(test, assigned, (None, 0, 1)))
                allowed = {name for name, given in pairs if given is not holds}
                found |= {name for name, given in pairs if given is holds} - allowed
    return found


def given_inside(called: Callable[..., Any]) -> dict[str, Any]:
    """The values that a constructor gives to arguments that are None: `if dims is None: dims = [32, 64]`."""
    found: dict[str, Any] = {}
    for function in _constructors(called) if inspect.isclass(called) else ():
        for node in ast.walk(function):
            if not isinstance(node, ast.If) or len(node.body) != 1 or not isinstance(node.body[0], ast.Assign):
                continue
            assigned, name = node.body[0], _name(node.test.left) if isinstance(node.test, ast.Compare) else None
            same = name is not None and [_name(each) for each in assigned.targets] == [name]
            if same and (name, False) in list(compared(node.test, {}, (None,))):
                with suppress(ValueError):
                    found.setdefault(str(name), ast.literal_eval(assigned.value))
    return found


def words(called: Callable[..., Any]) -> dict[str, str]:
    """The first text that each argument, field or attribute of a class is compared with: `if model == "MLP"`."""
    found: dict[str, str] = {}
    for base in called.__mro__ if inspect.isclass(called) else ():
        node = class_node(base) if not base.__module__.startswith(("torch.", "builtins")) else None
        tests = [each for each in ast.walk(node) if isinstance(each, ast.Compare)] if node is not None else []
        for each in sorted(tests, key=lambda test: test.lineno):
            if len(each.ops) == 1:
                name, other = _name(each.left), each.comparators[0]
                texts = other.elts if isinstance(other, (ast.List, ast.Tuple, ast.Set)) else [other]
                text = texts[0].value if texts and isinstance(texts[0], ast.Constant) else None
                if name is not None and isinstance(text, str) and isinstance(each.ops[0], (ast.Eq, ast.In, ast.NotEq)):
                    found.setdefault(name, text)
    return found


def stands_for_nothing(name: str, value: Any, tested: set[str]) -> bool:
    """Whether a default is no value: None or a negative size that is tested, or a vocabulary of less than nothing."""
    negative = isinstance(value, int) and not isinstance(value, bool) and value < 0
    known = argnames.guess(name) is not None or argnames.rank(name, argnames.WIDTH) is not None
    if negative and argnames.rank(name, argnames.VOCAB) is not None:
        return True
    return known and name in tested and (value is None or negative)


def named(expression: ast.AST, assigned: Mapping[str, ast.expr]) -> Iterator[str]:
    """The names and attributes in an expression, and in what its variables were assigned."""
    for node in _reached(expression, assigned):
        name = _name(node)
        if name is not None:
            yield name


def compared(
    expression: ast.AST, assigned: Mapping[str, ast.expr], others: tuple[int | None, ...]
) -> Iterator[tuple[str, bool]]:
    """Names compared with one of `others`, and whether that says they were given: `x is not None`, `x > 0` do."""
    for node in _reached(expression, assigned):
        if not isinstance(node, ast.Compare) or len(node.ops) != 1:
            continue
        name, other = _name(node.left), node.comparators[0]
        number = other.operand if isinstance(other, ast.UnaryOp) else other
        if name is not None and isinstance(number, ast.Constant) and number.value in others:
            yield name, isinstance(node.ops[0], (ast.IsNot, ast.NotEq, ast.Gt, ast.GtE))


def assignments(function: ast.AST) -> dict[str, ast.expr]:
    """What each local variable is assigned first."""
    found: dict[str, ast.expr] = {}
    for node in ast.walk(function):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    found.setdefault(target.id, node.value)
    return found


def _constructors(cls: type) -> Iterator[ast.FunctionDef]:
    for base in cls.__mro__:
        node = class_node(base) if not base.__module__.startswith(("torch.", "builtins")) else None
        for statement in node.body if node is not None else ():
            if isinstance(statement, ast.FunctionDef) and statement.name in ("__init__", "__post_init__"):
                yield statement


def _tests(function: ast.FunctionDef) -> Iterator[tuple[ast.expr, bool]]:
    """What is asserted (True), and what is asked right before an exception is raised (False)."""
    for node in ast.walk(function):
        if isinstance(node, ast.Assert):
            yield node.test, True
        elif isinstance(node, ast.If) and any(isinstance(each, ast.Raise) for each in node.body):
            yield node.test, False


def _reached(expression: ast.AST, assigned: Mapping[str, ast.expr], depth: int = _NESTED) -> Iterator[ast.AST]:
    for node in ast.walk(expression):
        yield node
        if isinstance(node, ast.Name) and depth and node.id in assigned:
            yield from _reached(assigned[node.id], assigned, depth - 1)


def _name(node: ast.AST) -> str | None:
    if isinstance(node, ast.Attribute):
        return node.attr
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
        return str(node.slice.value)
    return node.id if isinstance(node, ast.Name) else None
