"""Defaults that stand for nothing (None, -1), where the constructor asserts that something was given."""

from __future__ import annotations

import ast
import builtins
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, TypeGuard

from muaudit.targets import argnames
from muaudit.targets.source import class_node, file_of, nodes_of, tree_of

_NESTED = 4  # how many assignments an asserted name is followed through
_FURTHER = 64  # how many numbers are tried for one that a constructor accepts
_ARITHMETIC = (
    ast.Name, ast.Constant, ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.operator, ast.unaryop, ast.boolop,
    ast.cmpop, ast.expr_context,
)  # fmt: skip


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
        for node in nodes_of(function):
            if not isinstance(node, ast.If) or len(node.body) != 1 or not isinstance(node.body[0], ast.Assign):
                continue
            assigned, name = node.body[0], _name(node.test.left) if isinstance(node.test, ast.Compare) else None
            same = name is not None and [_name(each) for each in assigned.targets] == [name]
            if same and (name, False) in list(compared(node.test, {}, (None,))):
                with suppress(ValueError):
                    found.setdefault(str(name), ast.literal_eval(assigned.value))
    return found


def words(called: Callable[..., Any]) -> dict[str, str]:
    """The first text that each argument, field or attribute is compared with: `if model == "MLP"`.

    In the class itself, then in the others of its file, which are handed the same config.
    """
    found: dict[str, str] = {}
    for node in _classes(called):
        tests = [each for each in nodes_of(node) if isinstance(each, ast.Compare)]
        for each in sorted(tests, key=lambda test: test.lineno):
            if len(each.ops) == 1:
                name, other = _name(each.left), each.comparators[0]
                texts = other.elts if isinstance(other, (ast.List, ast.Tuple, ast.Set)) else [other]
                text = texts[0].value if texts and isinstance(texts[0], ast.Constant) else None
                if name is not None and isinstance(text, str) and isinstance(each.ops[0], (ast.Eq, ast.In, ast.NotEq)):
                    found.setdefault(name, text)
    return found


def _classes(called: Callable[..., Any]) -> Iterator[ast.ClassDef]:
    """The class and its own bases, then the other classes of its file."""
    bases = called.__mro__ if inspect.isclass(called) else ()
    own = [class_node(each) for each in bases if not each.__module__.startswith(("torch.", "builtins"))]
    seen = [node for node in own if node is not None]
    tree = tree_of(file_of(called)) if inspect.isclass(called) and seen else None
    others = [node for node in (tree.body if tree is not None else ()) if isinstance(node, ast.ClassDef)]
    yield from [*seen, *(node for node in others if node not in seen)]


def switches(called: Callable[..., Any]) -> set[str]:
    """The arguments and fields of which a class asks the truth alone: `if bias:`, `not bias`, `1 if bias else 2`."""
    asked: set[str] = set()
    counted: set[str] = set()
    for node in _classes(called):
        for each in nodes_of(node):
            asked |= {name for part in _asked(each) if (name := _name(part)) is not None}
            if isinstance(each, (ast.BinOp, ast.Compare, ast.Subscript)):
                counted |= {name for part in ast.iter_child_nodes(each) if (name := _name(part)) is not None}
    return asked - counted


def counted(called: Callable[..., Any]) -> set[str]:
    """The arguments that say how often something is repeated: all that is done with them is `range(n)`, `[block] * n`.

    They may be handed on to classes of the user's, kept under another name (`self.count = config.n`), and compared,
    but size no layer of torch and are in no arithmetic.
    """
    repeated: set[str] = set()
    others: set[str] = set()
    kept: dict[str, set[str]] = {}
    for node in _classes(called):
        for each in nodes_of(node):
            parts = list(ast.iter_child_nodes(each))
            if isinstance(each, ast.Call) and isinstance(each.func, ast.Name) and each.func.id == "range":
                repeated |= {name for part in each.args for name in _sized(part)}
            elif isinstance(each, ast.BinOp) and isinstance(each.op, ast.Mult) and _lists(each):
                repeated |= {name for part in (each.left, each.right) for name in _sized(part)}
            elif isinstance(each, ast.Assign) and (value := _name(each.value)) is not None:
                for name in filter(None, map(_name, each.targets)):
                    kept.setdefault(name, set()).add(value)
            elif isinstance(each, ast.Slice) or (isinstance(each, ast.Call) and _of_library(each.func)):
                others |= {name for part in parts for name in _sized(part)}
    return _with_kept(repeated, kept) - _with_kept(others, kept)


def _with_kept(names: set[str], kept: Mapping[str, set[str]]) -> set[str]:
    """These names, and those that they were assigned from."""
    return names.union(*(kept[name] for name in names if name in kept))


def _lists(node: ast.BinOp) -> bool:
    """Whether a product repeats a list: `[block] * (n - 1)`."""
    return isinstance(node.left, (ast.List, ast.ListComp)) or isinstance(node.right, (ast.List, ast.ListComp))


def _sized(node: ast.AST) -> Iterator[str]:
    """The names in an expression that is a size: `n`, `2 * n`, `(n, m)`, and not what is called in it."""
    name = _name(node)
    if name is not None:
        yield name
    elif isinstance(node, (ast.BinOp, ast.UnaryOp, ast.Tuple, ast.keyword)):
        for part in ast.iter_child_nodes(node):
            yield from _sized(part)


def _of_library(function: ast.expr) -> bool:
    """`nn.Linear`, `torch.zeros`, `F.pad`: of a module that is called by a short name."""
    owner = function
    while isinstance(owner, ast.Attribute):
        owner = owner.value
    return isinstance(function, ast.Attribute) and isinstance(owner, ast.Name) and owner.id in ("nn", "torch", "F")


def asked_for(called: Callable[..., Any]) -> set[str]:
    """The arguments and fields of which any class of the file asks whether they are there."""
    found: set[str] = set()
    for node in _classes(called):
        found |= {name for name, _ in compared(node, {}, (None,))}
        found |= {name for each in nodes_of(node) for part in _asked(each) if (name := _name(part)) is not None}
    return found


def unread(called: Callable[..., Any]) -> set[str]:
    """The arguments that a class takes and makes nothing of: their names stand nowhere in its constructor."""
    constructors = list(_constructors(called)) if inspect.isclass(called) else []
    own = next((each for each in constructors if each.name == "__init__"), None)
    if own is None:
        return set()
    seen = {node.id for each in constructors for node in nodes_of(each) if isinstance(node, ast.Name)}
    taken = {each.arg for each in (*own.args.args[1:], *own.args.kwonlyargs)}
    return taken - seen if not seen & {"locals", "vars", "inspect"} else set()


def kept_alone(called: Callable[..., Any]) -> set[str]:
    """The arguments and fields that a file keeps in an attribute, `self.graph = args.graph`, and never reads again."""
    tree = tree_of(file_of(called)) if inspect.isclass(called) else None
    nodes = nodes_of(tree) if tree is not None else ()
    kept: dict[str, set[str]] = {}
    values: set[int] = set()
    for each in nodes:
        if isinstance(each, ast.Assign) and all(isinstance(target, ast.Attribute) for target in each.targets):
            name = _name(each.value) if isinstance(each.value, (ast.Name, ast.Attribute)) else None
            if name is not None:
                kept.setdefault(name, set()).update(target.attr for target in each.targets)  # type: ignore[attr-defined]
                values.add(id(each.value))
    read = {_name(each) for each in nodes if _loaded(each) and id(each) not in values}
    read |= {
        each.value for each in nodes if isinstance(each, ast.Constant) and isinstance(each.value, str)
    }  # getattr(self, "graph")
    return {name for name, targets in kept.items() if name not in read and not targets & read}


def _loaded(node: ast.AST) -> bool:
    return isinstance(node, (ast.Name, ast.Attribute)) and isinstance(node.ctx, ast.Load)


def split_by(called: Callable[..., Any]) -> dict[str, str]:
    """The arguments and fields that are texts taken apart, and at what: `patch_size.split(",")`, `parsed(blocks)`."""
    tree = tree_of(file_of(called)) if inspect.isclass(called) else None
    functions = [node for node in (tree.body if tree is not None else ()) if isinstance(node, ast.FunctionDef)]
    taken = {node.name: [each.arg for each in node.args.args] for node in functions}
    inside = {node.name: dict(_splits(node)) for node in functions}
    found: dict[str, str] = {}
    for node in _classes(called):
        for name, at in _splits(node):
            found.setdefault(name, at)
        for call in (each for each in nodes_of(node) if isinstance(each, ast.Call) and isinstance(each.func, ast.Name)):
            named = call.func.id  # type: ignore[attr-defined]
            for each, argument in zip(call.args, taken.get(named, ()), strict=False):
                if argument in inside[named] and (name := _name(each) or "") != "":
                    found.setdefault(name, inside[named][argument])
    return found


def _splits(node: ast.AST) -> Iterator[tuple[str, str]]:
    """What is taken apart, and at what."""
    for call in (each for each in nodes_of(node) if isinstance(each, ast.Call)):
        if isinstance(call.func, ast.Attribute) and call.func.attr == "split" and len(call.args) == 1:
            name, at = _name(call.func.value), call.args[0]
            if name is not None and isinstance(at, ast.Constant) and isinstance(at.value, str):
                yield name, at.value


def compared_with_none(called: Callable[..., Any]) -> set[str]:
    """The arguments of which constructors ask whether they are there: `dims is None`, `dims or [64]`, `if dims:`."""
    found: set[str] = set()
    for function in _constructors(called) if inspect.isclass(called) else ():
        found |= {name for name, _ in compared(function, {}, (None,))}
        found |= {name for node in nodes_of(function) for part in _asked(node) if (name := _name(part)) is not None}
        calls = (node for node in nodes_of(function) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name))
        own = (node for node in calls if not hasattr(builtins, ast.unparse(node.func)))  # `exists(dims)`
        found |= {name for node in own for part in node.args if (name := _name(part)) is not None}
    return found


def _asked(node: ast.AST) -> Iterator[ast.expr]:
    """The expressions whose truth decides something in this node."""
    if isinstance(node, (ast.If, ast.IfExp, ast.While)):
        yield node.test
    elif isinstance(node, ast.BoolOp):
        yield from node.values
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield node.operand


def conditions(classes: Iterable[type]) -> dict[str, list[ast.expr]]:
    """What constructors assert of one argument alone, in numbers: `assert (depth - 4) % 6 == 0`."""
    found: dict[str, list[ast.expr]] = {}
    for cls in classes:
        for function in _constructors(cls):
            for test, holds in _tests(function):
                names = {node.id for node in nodes_of(test) if isinstance(node, ast.Name)}
                if holds and len(names) == 1 and all(isinstance(node, _ARITHMETIC) for node in nodes_of(test)):
                    found.setdefault(names.pop(), []).append(test)
    return found


def equals(classes: Iterable[type]) -> dict[str, set[str]]:
    """The arguments that constructors assert to be equal, each with the others: `assert d_model == d_word_vec`."""
    found: dict[str, set[str]] = {}
    for cls in classes:
        for function in _constructors(cls):
            for test, holds in _tests(function):
                for node in nodes_of(test) if not isinstance(test, ast.BoolOp) or isinstance(test.op, ast.And) else ():
                    names = {_name(each) for each in (node.left, *node.comparators)} if _equates(node, holds) else set()
                    for name in names - {None} if len(names) > 1 else ():
                        found.setdefault(str(name), set()).update(str(each) for each in names - {None, name})
    return found


def _equates(node: ast.AST, holds: bool) -> TypeGuard[ast.Compare]:
    kind = ast.Eq if holds else ast.NotEq
    return isinstance(node, ast.Compare) and all(isinstance(each, kind) for each in node.ops)


def fitting(name: str, least: int, tests: Iterable[ast.expr]) -> int:
    """The first number from `least` on that holds in all tests, and leaves no number in them at zero or below it.

    `least` itself where none of the next ones does.
    """
    tests = list(tests)
    parts = [node for test in tests for node in nodes_of(test) if isinstance(node, ast.BinOp)]
    parts = [node for node in parts if not isinstance(node.op, ast.Mod)]

    def value(node: ast.expr, number: int) -> Any:
        return eval(compile(ast.Expression(node), name, "eval"), {"__builtins__": {}}, {name: number})

    for number in range(least, least + _FURTHER):
        with suppress(ArithmeticError, TypeError):
            if all(value(each, number) for each in tests) and all(value(each, number) > 0 for each in parts):
                return number
    return least


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
    for node in nodes_of(function):
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
    for node in nodes_of(function):
        if isinstance(node, ast.Assert):
            yield node.test, True
        elif isinstance(node, ast.If) and any(isinstance(each, ast.Raise) for each in node.body):
            yield node.test, False


def _reached(expression: ast.AST, assigned: Mapping[str, ast.expr], depth: int = _NESTED) -> Iterator[ast.AST]:
    for node in nodes_of(expression):
        yield node
        if isinstance(node, ast.Name) and depth and node.id in assigned:
            yield from _reached(assigned[node.id], assigned, depth - 1)


def _name(node: ast.AST) -> str | None:
    if isinstance(node, ast.Attribute):
        return node.attr
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
        return str(node.slice.value)
    return node.id if isinstance(node, ast.Name) else None
