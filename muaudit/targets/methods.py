"""Modules without a forward: which of their methods take tensors, and one of them in its place."""

from __future__ import annotations

import ast
import functools
import inspect
import re
from collections.abc import Callable
from types import ModuleType
from typing import Any

from muaudit.errors import UserError
from muaudit.targets.literals import advice
from muaudit.targets.source import class_node, function_node, nodes_of
from muaudit.targets.usercode import looked_up

_NO_FORWARD = re.compile(
    r"^(_|(load|save|reset|init|set|configure|training|validation|test|predict|from|to|on|build|make|add|freeze)(_|$))"
)


def bound(cls: type, method: str) -> type:
    """The class with one of its methods for a forward. It goes by the class's own name and place."""
    place = {"__module__": cls.__module__, "__qualname__": cls.__qualname__, "__doc__": cls.__doc__}
    return type(cls.__name__, (cls,), {"forward": getattr(cls, method), **place})


def through(function: Callable[..., Any], method: str) -> Callable[..., Any]:
    """A function that builds what `function` does, with one of its methods for a forward."""

    @functools.wraps(function)
    def built(*args: Any, **kwargs: Any) -> Any:
        model = function(*args, **kwargs)
        model.__class__ = bound(type(model), method)
        return model

    return built


def is_module(value: Any) -> bool:
    """Whether a value is a class of modules."""
    import torch

    return inspect.isclass(value) and issubclass(value, torch.nn.Module)


def forwardless(module: ModuleType) -> dict[str, type]:
    """The file's own modules that define no forward."""
    import torch

    classes = [each for each in vars(module).values() if inspect.isclass(each) and each.__module__ == module.__name__]
    own: list[type[torch.nn.Module]] = [each for each in classes if issubclass(each, torch.nn.Module)]
    return {each.__name__: each for each in own if not has_forward(each)}


def has_forward(cls: type[Any]) -> bool:
    """Whether a class, or a base of its own, defines a forward that does more than to say that there is none."""
    import torch

    if cls.forward is torch.nn.Module.forward:
        return _assigns_forward(cls)
    node = function_node(cls.forward)
    body = [each for each in node.body if not isinstance(each, ast.Expr)] if node is not None else []
    return not (len(body) == 1 and isinstance(body[0], ast.Raise))


def _assigns_forward(cls: type) -> bool:
    """Whether a constructor gives its object a forward: `self.forward = self.plain`."""
    nodes = [node for base in cls.__mro__ if (node := class_node(base)) is not None]
    return any(
        isinstance(each, ast.Attribute) and each.attr == "forward" and isinstance(each.ctx, ast.Store)
        for node in nodes for each in nodes_of(node)
    )  # fmt: skip


def runnable(cls: type) -> list[str]:
    """The public methods of a class that take an argument, and are not called like setters or steps of training.

    Neither is a forward that only says that there is none; `__call__` is one.
    """
    found = [
        name for base in reversed(cls.__mro__) if not base.__module__.startswith(("torch.", "builtins"))
        for name, value in vars(base).items()
        if inspect.isfunction(value) and _stands_in(name) and len(inspect.signature(value).parameters) > 1
    ]  # fmt: skip
    return sorted(dict.fromkeys(found), key=lambda name: _cuts_gradients(getattr(cls, name)))


def _stands_in(name: str) -> bool:
    import torch

    own = not hasattr(torch.nn.Module, name)  # what every module has takes no tensors: train, apply
    return name == "__call__" or (own and not _NO_FORWARD.match(name))


def _cuts_gradients(method: Callable[..., Any]) -> bool:
    """Whether nothing can be learned from what a method returns: it detaches it, or runs without gradients."""
    node = function_node(inspect.unwrap(method))
    text = ast.unparse(node) if node is not None else ""
    return "no_grad" in text or "inference_mode" in text or ".detach()" in text


def no_forward(cls: type[Any], module: ModuleType, target: str, built: str = "") -> UserError:
    """The error that asks which method to audit, or says that there is none. built: the function that makes one."""
    methods = runnable(cls)
    if not methods:
        node = class_node(cls)
        line = f" (line {node.lineno})" if node is not None else ""
        own = "only one that raises" if cls.forward is not _plain_forward() else "none"
        return UserError(
            f"{cls.__name__}{line} derives from torch.nn.Module, but cannot be run: it needs a forward and has {own}",
            "write its forward, or name a model that has one",
        )
    commands = "\n".join(f"  muaudit check {target}:{built or cls.__name__}.{name}" for name in methods)
    numbers = advice(module.__file__)
    made = f", which {built} makes," if built else ""
    return UserError(
        f"{cls.__name__}{made} is a torch.nn.Module without a forward: say which of its methods to audit",
        f"name one of them:\n{commands}" + (f"\n{numbers}" if numbers else ""),
    )


def _plain_forward() -> Any:
    import torch

    return torch.nn.Module.forward


def is_method_of(found: Any, name: str, module: ModuleType) -> type | None:
    """The module class that a named function is a method of; None where it is no method of one."""
    import torch

    owner = looked_up(module, name.split(".")[:-1])
    return owner if inspect.isclass(owner) and issubclass(owner, torch.nn.Module) and callable(found) else None
