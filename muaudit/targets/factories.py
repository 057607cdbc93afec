"""Functions of a file that build a model: what they return, and what they make it from."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from muaudit.targets.sentinels import assignments
from muaudit.targets.source import nodes_of, tree_of

_WORKS = re.compile(r"_|(train|fit|main|test|run|eval|evaluate|load|save|demo|fine_?tune)(_|$)")
"""Functions that do more than to build a model, or that are nobody else's business."""


@dataclass(frozen=True)
class Factory:
    """A function that returns a module. returns: the file's class it calls for that, "" where it puts layers together.

    uses: the names in its body.
    """

    function: Any
    returns: str
    uses: frozenset[str]


def factories(module: ModuleType, classes: Collection[str]) -> dict[str, Factory]:
    """The public functions of a file that return one of its classes, a layer of torch.nn, or what another returns."""
    tree = tree_of(module.__file__)
    nodes = {node.name: node for node in (tree.body if tree is not None else ()) if isinstance(node, ast.FunctionDef)}
    own = {
        name: node for name, node in nodes.items()
        if not _WORKS.match(name) and inspect.isfunction(getattr(module, name, None))
    }  # fmt: skip
    found: dict[str, Factory] = {}
    for _ in range(3):  # a function may return what another one does, which stands further down
        for name, node in own.items():
            known = _returned(node, classes, found)
            if known is not None:
                used = frozenset(each.id for each in nodes_of(node) if isinstance(each, ast.Name))
                found[name] = Factory(getattr(module, name), known, used - {name})
    return found


def handed(module: ModuleType, classes: Collection[str]) -> Iterator[tuple[str, str]]:
    """(class, class that it is called with): `ResNet(BasicBlock, [2, 2])` anywhere in the file."""
    tree = tree_of(module.__file__)
    for call in nodes_of(tree) if tree is not None else ():
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in classes:
            given = (*call.args, *(keyword.value for keyword in call.keywords))
            for each in given:
                if isinstance(each, ast.Name) and each.id in classes:
                    yield call.func.id, each.id


def _returned(node: ast.FunctionDef, classes: Collection[str], known: Mapping[str, Factory]) -> str | None:
    """The class that a function returns an instance of; None where it returns no module."""
    assigned = assignments(node)
    for statement in nodes_of(node):
        if not isinstance(statement, ast.Return) or statement.value is None:
            continue
        value = assigned.get(statement.value.id) if isinstance(statement.value, ast.Name) else statement.value
        name = value.func.id if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) else ""
        if name in classes:
            return name
        if name in known:
            return known[name].returns
        if isinstance(value, ast.Call) and (name == "Sequential" or _of_torch(value.func)):
            return ""
    return None


def _of_torch(node: ast.expr) -> bool:
    """`nn.Sequential`, `torch.nn.Linear`."""
    if not isinstance(node, ast.Attribute) or not node.attr[:1].isupper():
        return False
    owner = node.value
    return (owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", "")) == "nn"
