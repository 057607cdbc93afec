"""A constructor's own assertion that failed: the flags that it names, and what may be left out instead.

Where it calculates with an argument that is None by default, it asserts as much: that this is given.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from itertools import product
from types import FrameType, TracebackType
from typing import Any

from muaudit.errors import UserError
from muaudit.targets.arguments import Leaf
from muaudit.targets.sentinels import assignments, compared, named
from muaudit.targets.source import nodes_of, tree_of
from muaudit.targets.usercode import RaisedError, user_error
from muaudit.targets.userfiles import is_user_file

_MOST, _LONGEST = 3, 6
"""How many arguments of an assertion that fails are tried otherwise; up to how many entries, and how large."""


class AssertedError(RaisedError):
    """An assertion in the user's constructor.

    without: arguments it compares with None, which may be left out. wanted: those that it names and that are None.
    holding: other values for guessed arguments, with which it holds.
    """

    def __init__(
        self, error: UserError, without: tuple[str, ...], wanted: tuple[str, ...] = (),
        holding: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(error.message, error.hint)
        self.without, self.wanted, self.holding = without, wanted, dict(holding or {})


def answered(
    error: AssertionError, what: str, knobs: Mapping[str, Leaf], values: Mapping[str, Any], free: Collection[str] = (),
) -> AssertedError:  # fmt: skip
    """The error with the arguments that the asserted expression names, and how to give them other values.

    free: those that may have any.
    """
    found = _asserted(error.__traceback__)
    if found is None:
        return AssertedError(user_error(what, error), ())
    test, assigned, frame = found
    short = {name.rpartition(".")[2]: name for name in knobs}
    asked = list(dict.fromkeys(short[name] for name in named(test, assigned) if name in short))
    shown = [f"{name}={values.get(name, knobs[name].value)!r}" for name in asked]
    flags = " ".join(f"--set {name}=..." for name in asked)
    hint = f"what it asserts depends on {', '.join(shown)}; give other values with {flags}" if asked else ""
    none = {short[name] for name, _ in compared(test, assigned, (None,)) if name in short}
    without = tuple(name for name in asked if name in none and name not in values and knobs[name].value is not None)
    wanted = tuple(name for name in asked if values.get(name, knobs[name].value) is None)
    holding = _holding(test, frame, {short: name for short, name in short.items() if name in free}, values)
    return AssertedError(user_error(what, error, hint), without, wanted, holding)


def _holding(test: ast.expr, frame: FrameType, free: Mapping[str, str], values: Mapping[str, Any]) -> dict[str, Any]:
    """Values with which an assertion holds, for as few as possible of the guessed arguments that it reads as given."""
    known = frame.f_locals
    read = dict.fromkeys(node.id for node in nodes_of(test) if isinstance(node, ast.Name))
    asked = [name for name in read if name in free and known.get(name) == values.get(free[name]) is not None]
    asked = asked[:_MOST]
    tried = [[known[name], *_others(known[name])] for name in asked]
    asserted = compile(ast.Expression(test), "assertion", "eval")
    for chosen in sorted(product(*map(range, map(len, tried))), key=lambda at: (sum(map(bool, at)), sum(at))):
        trial = {name: each[at] for name, each, at in zip(asked, tried, chosen, strict=True)}
        with suppress(Exception):  # it is the user's own
            if any(chosen) and eval(asserted, frame.f_globals, {**known, **trial}):
                return {free[name]: value for name, value in trial.items() if value != known[name]}
    return {}


def _others(value: Any) -> list[Any]:
    """Other sizes: twice and half of one, then small ones; lists of another length."""
    if isinstance(value, (list, tuple)) and value:
        return [type(value)([*value, *[value[-1]] * _LONGEST][:length]) for length in range(1, _LONGEST + 1)]
    return [2 * value, value // 2, 4 * value, *range(1, _LONGEST + 1)] if type(value) is int and value > 0 else []


def calculated(
    error: TypeError, what: str, knobs: Mapping[str, Leaf], values: Mapping[str, Any]
) -> AssertedError | None:
    """The error of a constructor that calculates with None, with the arguments on its line that are None; or None."""
    line = next((_statement(frame) for frame in reversed(list(_frames(error.__traceback__)))), None)
    short = {name.rpartition(".")[2]: name for name in knobs}
    asked = list(dict.fromkeys(short[name] for name in named(line, {}) if name in short)) if line is not None else []
    none = tuple(name for name in asked if values.get(name, knobs[name].value) is None)
    return AssertedError(user_error(what, error), (), none) if none and "NoneType" in str(error) else None


def read_where_raised(error: BaseException | None, knobs: Mapping[str, Leaf]) -> list[str]:
    """The arguments that an exception's innermost line reads, or the next one that reads any."""
    short = {name.rpartition(".")[2]: name for name in knobs}
    for frame in reversed(list(_frames(error.__traceback__ if error is not None else None))):
        line: ast.AST | None = _statement(frame) if is_user_file(frame.tb_frame.f_code.co_filename) else None
        line = line.value if isinstance(line, ast.Assign) else line
        function = _function(frame)
        assigned = assignments(function) if function is not None else {}
        if line is not None and (asked := dict.fromkeys(name for name in named(line, assigned) if name in short)):
            return [short[name] for name in asked]
    return []


def _function(frame: TracebackType) -> ast.FunctionDef | None:
    """The function that a frame runs."""
    tree, code = tree_of(frame.tb_frame.f_code.co_filename), frame.tb_frame.f_code
    found = (node for node in nodes_of(tree) if isinstance(node, ast.FunctionDef)) if tree is not None else ()
    lines = ((node, min((node.lineno, *(each.lineno for each in node.decorator_list)))) for node in found)
    return next((node for node, line in lines if node.name == code.co_name and line == code.co_firstlineno), None)


def _statement(frame: TracebackType) -> ast.stmt | None:
    """The innermost statement at the line where a frame stands."""
    tree = tree_of(frame.tb_frame.f_code.co_filename)
    found = [node for node in nodes_of(tree) if isinstance(node, ast.stmt) and not hasattr(node, "body")
             and node.lineno <= frame.tb_lineno <= (node.end_lineno or 0)] if tree is not None else []  # fmt: skip
    return found[-1] if found else None


def _asserted(trace: TracebackType | None) -> tuple[ast.expr, dict[str, ast.expr], FrameType] | None:
    """The innermost assertion that a traceback passes, what the variables around it were assigned, and its frame."""
    found = None
    for frame in _frames(trace):
        function = _function(frame)
        for node in nodes_of(function) if function is not None else ():
            if isinstance(node, ast.Assert) and node.lineno <= frame.tb_lineno <= (node.end_lineno or 0):
                found = node.test, assignments(function) if function is not None else {}, frame.tb_frame
    return found


def _frames(trace: TracebackType | None) -> Iterator[TracebackType]:
    own = sys.modules[__name__].__file__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename != own:
            yield trace
        trace = trace.tb_next
