"""A constructor's own assertion that failed: the flags that it names, and what may be left out instead.

Where it calculates with an argument that is None by default, it asserts as much: that this is given.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any

from muaudit.errors import UserError
from muaudit.targets.arguments import Leaf
from muaudit.targets.sentinels import assignments, compared, named
from muaudit.targets.source import nodes_of, tree_of
from muaudit.targets.usercode import RaisedError, user_error


class AssertedError(RaisedError):
    """An assertion in the user's constructor.

    without: arguments it compares with None, which may be left out. wanted: those that it names and that are None.
    """

    def __init__(self, error: UserError, without: tuple[str, ...], wanted: tuple[str, ...] = ()) -> None:
        super().__init__(error.message, error.hint)
        self.without, self.wanted = without, wanted


def answered(error: AssertionError, what: str, knobs: Mapping[str, Leaf], values: Mapping[str, Any]) -> AssertedError:
    """The error with the arguments that the asserted expression names, and how to give them other values."""
    found = _asserted(error.__traceback__)
    if found is None:
        return AssertedError(user_error(what, error), ())
    test, assigned = found
    short = {name.rpartition(".")[2]: name for name in knobs}
    asked = list(dict.fromkeys(short[name] for name in named(test, assigned) if name in short))
    shown = [f"{name}={values.get(name, knobs[name].value)!r}" for name in asked]
    flags = " ".join(f"--set {name}=..." for name in asked)
    hint = f"what it asserts depends on {', '.join(shown)}; give other values with {flags}" if asked else ""
    none = {short[name] for name, _ in compared(test, assigned, (None,)) if name in short}
    without = tuple(name for name in asked if name in none and name not in values and knobs[name].value is not None)
    wanted = tuple(name for name in asked if values.get(name, knobs[name].value) is None)
    return AssertedError(user_error(what, error, hint), without, wanted)


def calculated(
    error: TypeError, what: str, knobs: Mapping[str, Leaf], values: Mapping[str, Any]
) -> AssertedError | None:
    """The error of a constructor that calculates with None, with the arguments on its line that are None; or None."""
    line = next((_statement(frame) for frame in reversed(list(_frames(error.__traceback__)))), None)
    short = {name.rpartition(".")[2]: name for name in knobs}
    asked = list(dict.fromkeys(short[name] for name in named(line, {}) if name in short)) if line is not None else []
    none = tuple(name for name in asked if values.get(name, knobs[name].value) is None)
    return AssertedError(user_error(what, error), (), none) if none and "NoneType" in str(error) else None


def _statement(frame: TracebackType) -> ast.stmt | None:
    """The innermost statement at the line where a frame stands."""
    tree = tree_of(frame.tb_frame.f_code.co_filename)
    found = [node for node in nodes_of(tree) if isinstance(node, ast.stmt) and not hasattr(node, "body")
             and node.lineno <= frame.tb_lineno <= (node.end_lineno or 0)] if tree is not None else []  # fmt: skip
    return found[-1] if found else None


def _asserted(trace: TracebackType | None) -> tuple[ast.expr, dict[str, ast.expr]] | None:
    """The innermost assertion that a traceback passes, and what the variables around it were assigned."""
    found = None
    for frame in _frames(trace):
        tree = tree_of(frame.tb_frame.f_code.co_filename)
        for function in nodes_of(tree) if tree is not None else ():
            if isinstance(function, ast.FunctionDef) and function.name == frame.tb_frame.f_code.co_name:
                for node in nodes_of(function):
                    if isinstance(node, ast.Assert) and node.lineno <= frame.tb_lineno <= (node.end_lineno or 0):
                        found = node.test, assignments(function)
    return found


def _frames(trace: TracebackType | None) -> Iterator[TracebackType]:
    own = sys.modules[__name__].__file__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename != own:
            yield trace
        trace = trace.tb_next
