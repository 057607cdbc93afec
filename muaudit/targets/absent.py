"""Why a file holds no model: what is in it that is none yet, and what that lacks."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from muaudit.errors import UserError
from muaudit.targets.literals import advice
from muaudit.targets.methods import forwardless, no_forward, runnable
from muaudit.targets.source import class_node, nodes_of, tree_of

SPEC = """  def build(width):
      return MyModel(width)

  def batch(width):
      return torch.randint(0, 256, (2, 32))"""
"""The smallest spec, for messages to show."""
_SHOWN = 4
_Scope = ast.FunctionDef | ast.AsyncFunctionDef | ast.If


def no_model(module: ModuleType, target: str) -> UserError:
    """The error for a module in which no class or function builds a model that can be run."""
    without = forwardless(module)
    if len(without) == 1:
        return no_forward(next(iter(without.values())), module, target)
    if without:
        return _several(without, module, target)
    inner = list(_hidden(tree_of(module.__file__)))
    if inner:
        node, scope = inner[0]
        outer = (f"below the if of line {scope.lineno}, which does not hold when the file is imported"
                 if isinstance(scope, ast.If) else f"inside {scope.name}(), out of reach of others")  # fmt: skip
        return UserError(f"{target} holds no model that can be taken from it: {node.name} (line {node.lineno}) "
                         f"is defined {outer}", f"define {node.name} at the margin of the file")  # fmt: skip
    made = _instances(module)
    if made:
        name, kind = made
        what = f"{target} holds a model of one width, {name} ({kind}), and nothing that builds it at another"
        return UserError(what, _lines(advice(module.__file__), f"build it in a function:\n{SPEC}"))
    foreign = [name for name, value in vars(module).items() if _is_module(value) and value.__module__ != "builtins"]
    imported = f"; it imports {', '.join(foreign[:_SHOWN])}, and derives no class from it" if foreign else ""
    return UserError(
        f"{target} holds no model: no class that derives from torch.nn.Module and no build(width){imported}",
        "name a model in another file, or add to this one:\n" + SPEC,
    )


def _several(without: dict[str, type], module: ModuleType, target: str) -> UserError:
    """Several classes, none of which has a forward: with the methods of each that may stand in for it."""
    shown = ", ".join(f"{name}{_line(cls)}" for name, cls in without.items())
    numbers = advice(module.__file__)
    commands = [f"  muaudit check {target}:{name}.{each}" for name, cls in without.items() for each in runnable(cls)]
    if commands:
        hint = "name a method to audit:\n" + "\n".join(commands)
    else:
        hint = "write the forward of the one that is the model, or name a model in another file"
    return UserError(f"{target} holds no model that can be run: {shown} derive from torch.nn.Module, "
                     "but none defines forward", _lines(hint, numbers))  # fmt: skip


def _lines(*texts: str) -> str:
    return "\n".join(filter(None, texts))


def _line(cls: type) -> str:
    node = class_node(cls)
    return f" (line {node.lineno})" if node is not None else ""


def _hidden(tree: ast.Module | None) -> Iterator[tuple[ast.ClassDef, _Scope]]:
    """Classes that derive from a Module and that importing the file does not define, with what they stand in."""
    for outer in tree.body if tree is not None else ():
        if isinstance(outer, _Scope):
            for node in nodes_of(outer):
                if isinstance(node, ast.ClassDef) and any("Module" in ast.unparse(base) for base in node.bases):
                    yield node, outer


def _instances(module: ModuleType) -> tuple[str, str] | None:
    """The largest module that the file made, and its class."""
    import torch

    made = {name: value for name, value in vars(module).items() if isinstance(value, torch.nn.Module)}
    if not made:
        return None
    name = max(made, key=lambda each: sum(1 for _ in made[each].modules()))
    return name, type(made[name]).__name__


def _is_module(value: Any) -> bool:
    import torch

    return inspect.isclass(value) and issubclass(value, torch.nn.Module)
