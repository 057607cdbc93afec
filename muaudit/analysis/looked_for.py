"""Names, and marks on modules, that the conditions of an initialization ask for and that nothing in the model has.

A condition is evaluated for every name that its loop goes over, as building the model did.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import nn

from ..findings.discrepancy import Discrepancy
from ..targets.source import class_node, file_of
from ..targets.userfiles import is_user_file

_DRAWN = {"normal_", "trunc_normal_", "uniform_", "mul_", "div_"}
_LOOPS = {"named_parameters", "named_modules"}


def looked_for(model: nn.Module) -> Iterator[Discrepancy]:
    """Names, and marks on modules, that the condition of an initialization asks for and that nothing has."""
    makers: dict[type, list[nn.Module]] = {}
    for module in model.modules():
        makers.setdefault(type(module), []).append(module)
    marked = [*model.modules(), *model.parameters()]
    for cls, modules in makers.items():
        file = file_of(cls)
        node = class_node(cls) if file is not None and is_user_file(file) else None
        if node is None:
            continue
        for method in (each for each in node.body if isinstance(each, ast.FunctionDef) and each.args.args):
            asked = [*_names_asked_for(method, modules, cls), *_marks_asked_for(method, marked)]
            for line, text in asked:
                yield Discrepancy("init_setting", None, (), "", 0.0, 0.0, file, line, detail=f"name: {text}")


def _names_asked_for(method: ast.FunctionDef, modules: Sequence[nn.Module], cls: type) -> Iterator[tuple[int, str]]:
    """Line and text of what no name is like that a loop of the method goes over."""
    own = method.args.args[0].arg
    for loop in (each for each in ast.walk(method) if isinstance(each, ast.For)):
        over, variables = _loop(loop, own)
        items = [(module, item) for module in modules for item in getattr(module, over)()] if over else []
        for branch in (each for each in ast.walk(loop) if items and isinstance(each, ast.If) and _draws(each, method)):
            for part in _conjuncts(branch.test):
                texts = _texts(part)
                if texts and variables[0] in _variables(part):
                    held = [_holds(part, {own: module, **dict(zip(variables, item, strict=False))}, cls)
                            for module, item in items]  # fmt: skip
                    if held and not any(each is not False for each in held):
                        yield branch.lineno, " or ".join(texts)


def _marks_asked_for(method: ast.FunctionDef, marked: Sequence[object]) -> Iterator[tuple[int, str]]:
    """The same of `hasattr(x, NAME)` and `getattr(x, NAME, ...)`, where nothing in the model has such an attribute."""
    for branch in (each for each in ast.walk(method) if isinstance(each, ast.If) and _draws(each, method)):
        for part in _conjuncts(branch.test):
            call = part if isinstance(part, ast.Call) else None
            name = getattr(call.func, "id", "") if call else ""
            if call and name in ("hasattr", "getattr") and len(call.args) > 1 and isinstance(call.args[0], ast.Name):
                mark = call.args[1].value if isinstance(call.args[1], ast.Constant) else None
                falls_back = len(call.args) < 3 or not getattr(call.args[2], "value", True)
                if isinstance(mark, str) and falls_back and not any(hasattr(each, mark) for each in marked):
                    yield branch.lineno, mark


def _loop(loop: ast.For, own: str) -> tuple[str, list[str]]:
    """What a loop over the names in `own` goes over, and its variables, the name first; empty where it is none."""
    call, target = loop.iter, loop.target
    variables = target.elts if isinstance(target, ast.Tuple) else [target]
    names = [each.id if isinstance(each, ast.Name) else "" for each in variables]
    if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and names and names[0]):
        return "", []
    of_own = call.func.attr in _LOOPS and getattr(call.func.value, "id", "") == own
    return (call.func.attr, names) if of_own and not call.args else ("", [])


def _draws(branch: ast.If, method: ast.FunctionDef) -> bool:
    """Whether what is done under a condition sets the size of something, at once or by a number that a call gets."""
    changed: set[str] = set()
    for each in (node for part in branch.body for node in ast.walk(part)):
        if isinstance(each, ast.Call) and _called(each) in _DRAWN:
            return True
        if isinstance(each, (ast.Assign, ast.AugAssign)):
            targets = each.targets if isinstance(each, ast.Assign) else [each.target]
            changed |= {target.id for target in targets if isinstance(target, ast.Name)}
    drawn = (each for each in ast.walk(method) if isinstance(each, ast.Call) and _called(each) in _DRAWN)
    return any(changed & _variables(given) for each in drawn for given in (*each.args[1:], *_values(each)))


def _called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def _values(call: ast.Call) -> list[ast.expr]:
    return [word.value for word in call.keywords]


def _conjuncts(test: ast.expr) -> Iterator[ast.expr]:
    """The conditions that all have to hold."""
    if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And):
        for each in test.values:
            yield from _conjuncts(each)
    elif not (isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not)):
        yield test


def _texts(node: ast.expr) -> list[str]:
    found = (each.value for each in ast.walk(node) if isinstance(each, ast.Constant))
    return [each for each in found if isinstance(each, str) and each.strip(".")]


def _variables(node: ast.expr) -> set[str]:
    return {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}


def _holds(condition: ast.expr, variables: Mapping[str, Any], cls: type) -> bool | None:
    """Whether a condition of the user's holds for these values; None where it needs others as well."""
    names = vars(sys.modules[cls.__module__]) if cls.__module__ in sys.modules else {}
    try:
        code = compile(ast.Expression(condition), "<condition>", "eval")
        return bool(eval(code, {**names, **variables}))
    except Exception:
        return None
