"""The user's source as syntax trees, each file parsed once: `inspect` parses the whole file anew for every class."""

from __future__ import annotations

import ast
import functools
import inspect
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import CodeType
from typing import Any

from muaudit.errors import UserError
from muaudit.reading import SOURCE, read_bytes

OVERLAY: dict[str, bytes] = {}
"""Files that are to be read as if they held this: edits that are tried before they are made."""


def read_source(file: str | Path) -> bytes:
    """The bytes of a source file, or of its overlay. Raises Unreadable."""
    found = OVERLAY.get(str(file))
    return read_bytes(file, most=SOURCE) if found is None else found


def tree_of(file: str | None) -> ast.Module | None:
    """The tree of a Python file as it is now; None where there is none to read."""
    if file is None or not file.endswith(".py") or not os.path.isfile(file):
        return None
    status = os.stat(file)
    return _parse(file, status.st_mtime_ns, status.st_size, OVERLAY.get(file))


def class_node(cls: type) -> ast.ClassDef | None:
    """The definition of a class, also of one inside another; None where it cannot be found."""
    tree = tree_of(file_of(cls))
    if tree is None:
        return None
    scope: ast.AST = tree
    for part in cls.__qualname__.split("."):
        children = getattr(scope, "body", [])
        found = [node for node in children if isinstance(node, ast.ClassDef) and node.name == part]
        found = found or [node for node in nodes_of(scope) if isinstance(node, ast.ClassDef) and node.name == part]
        if not found:
            return None
        scope = found[-1]
    return scope if isinstance(scope, ast.ClassDef) else None


def class_text(cls: type) -> str:
    """The source of a class; empty where it cannot be found."""
    node, file = class_node(cls), file_of(cls)
    try:
        if node is None or file is None:
            return inspect.getsource(cls)  # of a notebook's cell, for example
        return "\n".join(read_source(file).decode("utf-8", "replace").splitlines()[node.lineno - 1 : node.end_lineno])
    except (OSError, TypeError, UserError):
        return ""


def function_node(function: Callable[..., Any]) -> ast.FunctionDef | None:
    """The definition of a function or method, by its name and first line; None where it cannot be found."""
    code: CodeType | None = getattr(function, "__code__", None)
    if code is None:
        return None
    tree = tree_of(code.co_filename)
    for node in nodes_of(tree) if tree is not None else ():
        if isinstance(node, ast.FunctionDef) and node.name == code.co_name:
            first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
            if first <= code.co_firstlineno <= node.lineno:
                return node
    return None


def statement_at(file: str, line: int) -> list[ast.AST]:
    """The innermost statement at a line, of one that holds others what it asks; of a `raise` what was asked before."""
    tree = tree_of(file)
    nodes = [node for node in (nodes_of(tree) if tree is not None else ()) if isinstance(node, ast.stmt)]
    around = [node for node in nodes if node.lineno <= line <= (node.end_lineno or 0)]
    if not around:
        return []
    last = around[-1]
    asked = [node.test for node in around[-2:-1] if isinstance(node, ast.If) and isinstance(last, ast.Raise)]
    held = [getattr(last, name) for name in ("test", "iter", "items") if hasattr(last, name)]
    return [*asked, *(held if hasattr(last, "body") else [last])]


def file_of(cls: type) -> str | None:
    """The file that a class was defined in."""
    return getattr(sys.modules.get(cls.__module__), "__file__", None)


@functools.lru_cache(maxsize=4096)
def nodes_of(node: ast.AST) -> tuple[ast.AST, ...]:
    """A node and all below it, breadth first as `ast.walk` has them; the same trees are read for many questions."""
    return tuple(ast.walk(node))


@functools.lru_cache(maxsize=16)
def _parse(file: str, _changed: int, _size: int, _overlay: bytes | None) -> ast.Module | None:
    try:
        return ast.parse(read_source(file))
    except (UserError, SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def is_variable(node: ast.AST, name: str) -> bool:
    """Whether an expression is a variable, or an attribute, of this name."""
    if isinstance(node, ast.Name):
        return node.id == name
    return isinstance(node, ast.Attribute) and node.attr == name
