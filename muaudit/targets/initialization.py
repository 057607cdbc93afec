"""Initialization that a constructor leaves to the training script: `model.init_weights()` after the model is built.

Building on the meta device and initializing afterwards is common (torchtitan, lingua, nanochat), and files that apply
a function of theirs to every module are as well. What an untouched constructor leaves is then PyTorch's default, which
no training ever starts from. Whether the constructor initializes by itself is watched, not guessed from its text: calls
through a parent, `apply` or a `post_init` count alike.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from types import FrameType, ModuleType
from typing import Any

import torch
from torch import nn

from muaudit.errors import UserError
from muaudit.targets.loader import near
from muaudit.targets.looking_on import looking_on
from muaudit.targets.source import nodes_of, tree_of
from muaudit.targets.usercode import describe, guarded, quiet

_WHAT = "(weights?|params?|parameters?)"
_NAME = re.compile(f"_*(init|initiali[sz]e|reset)_(all_|model_)?{_WHAT}|_*{_WHAT}_(init|initialization)")
_ONE_MODULE = ("m", "module", "mod", "layer", "l", "submodule", "sub_module", "child")
_LIBRARIES = ("torch", "transformers")


@cache
def _initializes(name: str) -> bool:
    """Whether a function is called like one that initializes weights."""
    return _NAME.fullmatch(name) is not None


@dataclass(frozen=True)
class Choice:
    """What is done to every model after it is built: nothing where `apply` is None. note: what there is to say."""

    apply: Callable[[nn.Module], None] | None = None
    note: str = ""


@dataclass(frozen=True)
class _Way:
    """One way to initialize: `model.name()`, or `model.apply(name)`. needed: arguments that nothing is known about."""

    name: str
    each: bool
    needed: tuple[str, ...] = ()
    function: bool = False

    def __str__(self) -> str:
        if self.function:
            return f"apply({self.name})" if self.each else f"{self.name}(model)"
        return f"apply({self.name})" if self.each else f"{self.name}({', '.join(self.needed)})"

    def __call__(self, model: nn.Module) -> None:
        function = getattr(sys.modules.get(type(model).__module__) if self.function else model, self.name)
        with guarded(str(self)), torch.no_grad():
            if self.each:
                model.apply(function)
            elif self.function:
                function(model)
            else:
                function()


class Watched:
    """The initializing functions that ran inside `watch()`, and what each was first given."""

    def __init__(self) -> None:
        self._calls: list[tuple[str, Any]] = []

    def watch(self) -> AbstractContextManager[None]:
        """Look on while the block runs."""
        return looking_on(self._note)

    def initialized(self, model: nn.Module) -> bool:
        """Whether something called like an initialization was given this very model."""
        return any(given is model for _, given in self._calls)

    def ran(self, name: str) -> bool:
        """Whether a function of this name ran at all."""
        return any(called == name for called, _ in self._calls)

    def _note(self, frame: FrameType) -> None:
        code = frame.f_code
        if _initializes(code.co_name):
            self._calls.append((code.co_name, frame.f_locals.get(code.co_varnames[0]) if code.co_varnames else None))


def choose(model: nn.Module, watched: Watched, named: str | None, left_out: bool, spec: bool) -> Choice:
    """How a model that was just built, while `watched` looked on, is initialized besides.

    named: the user's `--init`. left_out: his `--no-init`. spec: what was built is all the user wants; it is only said
    that an initialization was not called. Raises UserError for a name that the model does not have.
    """
    if named is not None:
        chosen = _named(model, named)
        return Choice(chosen, f"{chosen} initializes the model after it is built")
    if watched.initialized(model):
        return Choice()
    # every nn.Linear runs a reset_parameters: of a method only the calls on this model count
    way = next((each for each in _ways(model) if not (each.function and watched.ran(each.name))), None)
    if way is None:
        return Choice()
    owner = type(model).__name__
    if left_out:
        return Choice(None, f"{way} of {owner} is not called (--no-init)")
    judged = "the initialization that is judged is the constructor's own"
    if way.needed:
        return Choice(
            None, f"{way} of {owner} is called by nobody here: {judged}; a function init(model) in the file calls it"
        )
    if spec:
        flag = f"; a function init(model) in the file, or --init {way.name}, calls it"
        return Choice(None, f"{way} of {owner} is not called by what builds the model: {judged}{flag}")
    return _tried(way, model, owner, judged)


def of_module(module: ModuleType) -> Callable[[nn.Module], Any] | None:
    """A file's own `init(model)`; many a file has the module torch.nn.init, or a helper, under this name."""
    found = getattr(module, "init", None)
    code = getattr(found, "__code__", None)
    return found if code is not None and code.co_varnames[: code.co_argcount] == ("model",) else None


def of_user(init: Callable[[nn.Module], Any]) -> Callable[[nn.Module], None]:
    """The user's `init(model)`, which works on the model it is given."""

    def initialize(model: nn.Module) -> None:
        with guarded("init(model)"), torch.no_grad():
            init(model)

    return initialize


def followed(
    build: Callable[[Mapping[str, int], int], nn.Module], initialize: Callable[[nn.Module], None] | None
) -> Callable[[Mapping[str, int], int], nn.Module]:
    """`build` with the initialization after it, which goes on with the random numbers of the same seed."""
    if initialize is None:
        return build

    def both(sizes: Mapping[str, int], seed: int) -> nn.Module:
        model = build(sizes, seed)
        initialize(model)
        return model

    return both


def _tried(way: _Way, model: nn.Module, owner: str, judged: str) -> Choice:
    try:
        with quiet():
            way(model)
    except Exception as error:
        cause = describe(error.__cause__ or error)
        return Choice(None, f"{way} of {owner} could not be called ({cause}): {judged}; --no-init leaves it out")
    return Choice(way, f"{way} of {owner} is called after the constructor, which leaves it to the training script; "
                  "--no-init leaves it out")  # fmt: skip


def _named(model: nn.Module, name: str) -> _Way:
    found = getattr(model, name, None)
    function = False
    if not callable(found):
        found, function = getattr(sys.modules.get(type(model).__module__), name, None), True
    if not callable(found):
        known = [each.name for each in _ways(model)]
        others = [each for each in dir(type(model)) if callable(getattr(type(model), each, None))]
        methods = known or [each for each in others if "init" in each.lower() and not each.startswith("__")]
        raise UserError(f"--init {name}: {type(model).__name__} has no such method",
                        near(name, methods, "it has") or "write a function init(model) in the file")  # fmt: skip
    way = _way(name, found, function)
    if way.needed:
        raise UserError(
            f"--init {name} wants a value for {', '.join(way.needed)}", "write a function init(model) in the file"
        )
    return way


def _ways(model: nn.Module) -> Iterator[_Way]:
    """The initializations that the class has, those to be called as they are first; else one that the file applies."""
    methods = [way for name in _methods(type(model)) if (way := _way(name, getattr(model, name), False))]
    methods.sort(key=lambda way: (bool(way.needed), way.each, way.name.startswith("_"), "reset" in way.name))
    yield from methods
    if not methods:
        yield from _applied(model)


def _methods(cls: type) -> Iterator[str]:
    """Methods named like an initialization that the user's classes define; torch's own constructors call theirs."""
    for base in cls.__mro__:
        if base.__module__.partition(".")[0] in _LIBRARIES:
            continue
        yield from (name for name, value in vars(base).items() if _initializes(name)
                    and (callable(value) or isinstance(value, (staticmethod, classmethod))))  # fmt: skip


def _applied(model: nn.Module) -> Iterator[_Way]:
    """Functions of the model's file that the file itself applies to a model: `net.apply(weights_init)`."""
    module = sys.modules.get(type(model).__module__)
    tree = tree_of(getattr(module, "__file__", None))
    for node in nodes_of(tree) if tree is not None else ():
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "apply":
            names = [each.id for each in node.args if isinstance(each, ast.Name)]
            for name in names:
                if _initializes(name) and inspect.isfunction(getattr(module, name, None)):
                    yield _Way(name, True, function=True)


def _way(name: str, found: Any, function: bool) -> _Way:
    try:
        parameters = list(inspect.signature(found).parameters.values())
    except (TypeError, ValueError):
        return _Way(name, False, (), function)
    single = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    needed = [each for each in parameters if each.default is each.empty and each.kind not in single]
    if len(needed) == 1 and (needed[0].name in _ONE_MODULE or "Module" in str(needed[0].annotation)):
        return _Way(name, True, (), function)
    return _Way(name, False, tuple(each.name for each in (needed[1:] if function else needed)), function)
