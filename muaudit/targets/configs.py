"""Finding the config that a constructor's `config` argument wants: a class, an object, a dict, or the fields read."""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import functools
import inspect
import re
import sys
import types
import typing
from collections.abc import Collection, Iterator, Mapping
from types import ModuleType
from typing import Any

from muaudit.targets import argnames, signatures
from muaudit.targets.config_reads import OF_TENSORS, Accessed, is_config_name, taken
from muaudit.targets.source import class_node, function_node, is_variable, nodes_of
from muaudit.targets.usercode import looked_up

_CLASS_NAME = re.compile(
    r"(Config|Configuration|Cfg|Args|Arguments|Params|Options|Settings|Hparams|HParams|Hyperparameters)(Dict|Node)?$"
    r"|^(Attr|Attribute|Easy|Dot)Dict$"
)
_NO_CONFIG = re.compile(r"coder|model|net|backbone|tokenizer|embed|layer|block|head|space|env|tensor")
_DEFAULT = re.compile(r"default_?(config|cfg|conf|params|hparams|args)$")
_PLAIN = (bool, int, float, str, list, tuple, type(None))


def config_class(hint: Any) -> type | None:
    """The config class that an annotation names, also inside `X | None`."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        found = [config_class(part) for part in typing.get_args(hint)]
        return next((each for each in found if each is not None), None)
    return hint if inspect.isclass(hint) and _is_config_class(hint) else None


def is_config_instance(value: Any) -> bool:
    """Whether a value is a config object (and not a number, a text, a module or a function)."""
    return not inspect.isclass(value) and _is_config_class(type(value))


def is_read_like_config(called: Any, name: str, hint: Any) -> bool:
    """Whether a constructor does nothing with an argument but to read its fields, which are not those of a tensor.

    It may ask for its length besides.
    """
    if hint is not inspect.Parameter.empty or not inspect.isclass(called) or _NO_CONFIG.search(name):
        return False
    node = class_node(called)
    body = node.body if node is not None else []
    function = next((each for each in body if isinstance(each, ast.FunctionDef) and each.name == "__init__"), None)
    if function is None:
        return False
    nodes = list(nodes_of(function))
    read = [each for each in nodes if isinstance(each, ast.Attribute) and is_variable(each.value, name)]
    uses = [each for each in nodes if isinstance(each, ast.Name) and each.id == name]
    counted = sum(is_measured(each, name) for each in nodes)
    return bool(read) and len(uses) == len(read) + counted and not any(each.attr in OF_TENSORS for each in read)


def is_measured(node: ast.AST, name: str) -> bool:
    """Whether an expression is `len(name)`."""
    called = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "len"
    return called and len(node.args) == 1 and is_variable(node.args[0], name)  # type: ignore[attr-defined]


def splatted(called: Any, name: str) -> type | None:
    """The class that a constructor makes of an argument and of nothing else: `Config(**config_dict)`."""
    node = class_node(called) if inspect.isclass(called) else None
    space = vars(sys.modules.get(called.__module__, typing)) if node is not None else {}
    for call in nodes_of(node) if node is not None else ():
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and not call.args and len(call.keywords) == 1:
            given = call.keywords[0]
            found = space.get(call.func.id)
            if given.arg is None and is_variable(given.value, name) and inspect.isclass(found):
                return found if _is_config_class(found) else None
    return None


def splatted_into(called: Any, name: str, deep: int = 4) -> tuple[Any, frozenset[str]] | None:
    """What is called with all of an argument, `MLP.make(**params)`, and the entries that are set before.

    By the constructor, or by what it hands the argument on to.
    """
    node = class_node(called) if inspect.isclass(called) else function_node(called)
    space = vars(sys.modules.get(called.__module__, typing)) if node is not None else {}
    nodes = list(nodes_of(node)) if node is not None else []
    stored = [each for each in nodes if isinstance(each, ast.Subscript) and isinstance(each.ctx, ast.Store)]
    keys = {str(each.slice.value) for each in stored
            if is_variable(each.value, name) and isinstance(each.slice, ast.Constant)}  # fmt: skip
    for call in (each for each in nodes if isinstance(each, ast.Call)):
        parts, args = ast.unparse(call.func).split("."), call.args
        found = looked_up(space.get(parts[0]), parts[1:])
        if found is functools.partial and args:
            found, args = space.get(ast.unparse(args[0])), args[1:]
        if not callable(found):
            continue
        if any(each.arg is None and is_variable(each.value, name) for each in call.keywords):
            beside = [*(each.arg for each in call.keywords if each.arg is not None), *[*taken(found)][: len(args)]]
            return found, frozenset({*keys, *beside})
        given = [*zip(taken(found), args, strict=False), *((each.arg, each.value) for each in call.keywords)]
        for argument, value in given if deep and found is not called else ():
            handed = isinstance(value, ast.Name) and value.id == name and argument is not None
            if handed and (inner := splatted_into(found, str(argument), deep - 1)) is not None:
                return inner[0], inner[1] | keys
    return None


def module_class(called: Any, name: str, hint: Any, module: ModuleType) -> type | None:
    """The user's class of modules that an argument is annotated with, asserted to be of, or called like: `bert: BERT`.

    What is called like a class, and called, handed on or compared by the constructor, is something else.
    """
    like = [value for key, value in vars(module).items() if key.lower() == name.lower().replace("_", "")]
    node = class_node(called) if inspect.isclass(called) else None
    nodes = list(nodes_of(node)) if node is not None else []
    uses = [each for each in nodes if isinstance(each, (ast.Call, ast.Compare))]
    plain = node is not None and not any(
        isinstance(part, ast.Name if isinstance(each, ast.Call) else ast.expr) and is_variable(part, name)
        for each in uses for part in ast.iter_child_nodes(each)
    )  # fmt: skip
    asserted = [vars(module).get(each) for each in _asserted(nodes, name)]
    for found in (hint, *asserted, *(like if plain else ())) if hint is inspect.Parameter.empty else (hint,):
        if inspect.isclass(found) and _is_module(found) and not found.__module__.startswith("torch."):
            return found
    return None


def _asserted(nodes: Collection[ast.AST], name: str) -> Iterator[str]:
    """The classes that an argument is asserted to be of: `assert isinstance(encoder, Encoder)`."""
    for test in (each.test for each in nodes if isinstance(each, ast.Assert)):
        given = test.args if isinstance(test, ast.Call) and ast.unparse(test.func) == "isinstance" else []
        if len(given) == 2 and is_variable(given[0], name) and isinstance(given[1], ast.Name):
            yield given[1].id


def fits(name: str, hint: Any, given: Any) -> bool:
    """Whether a config the user named is meant for this parameter."""
    cls = given if inspect.isclass(given) else type(given)
    return (inspect.isclass(hint) and issubclass(cls, hint)) or config_class(hint) is cls or is_config_name(name, hint)


def fields(instance: Any) -> dict[str, Any]:
    """The plain fields of a config object, those on its class included."""
    if isinstance(instance, Mapping) or _is_like_mapping(instance):
        return {name: value for name, value in instance.items() if isinstance(name, str)}
    if dataclasses.is_dataclass(instance):
        return {each.name: getattr(instance, each.name) for each in dataclasses.fields(instance) if each.init}
    found = {name: value for cls in reversed(type(instance).__mro__) for name, value in vars(cls).items()} | getattr(
        instance, "__dict__", {}
    )
    return {name: value for name, value in found.items() if not name.startswith("_") and isinstance(value, _PLAIN)}


def _is_like_mapping(value: Any) -> bool:
    """Whether a config is a dict whose entries are attributes as well, as those of several libraries are."""
    return all(callable(getattr(type(value), name, None)) for name in ("items", "keys", "__getitem__"))


def default_of(cls: Any) -> Any:
    """What a static `get_default_config()` of a class returns; None where there is none."""
    for name, held in inspect.getmembers(cls, lambda each: isinstance(each, (types.FunctionType, types.MethodType))):
        static = isinstance(inspect.getattr_static(cls, name), (staticmethod, classmethod))
        if static and _DEFAULT.search(name) and not inspect.signature(held).parameters:
            with contextlib.suppress(Exception):
                return held()
    return None


def find(module: ModuleType, cls: Any, accessed: Accessed) -> Any:
    """The config class, object or dict in a module that has what a class reads; None when there is none."""
    values = [(name, value) for name, value in vars(module).items() if not name.startswith("__")]
    held = [each for _, value in values if type(value) is dict for each in value.values()]
    known = [each for each in held if is_config_instance(each) and _reads(each, accessed)]
    listed = max(known, key=lambda each: _shared(each, accessed), default=None)
    if accessed.subscripts:
        dicts = [value for _, value in values if isinstance(value, dict) and set(accessed.names) <= set(value)]
        return dicts[0] if dicts else listed
    classes = [value for _, value in values if inspect.isclass(value) and _is_config_class(value)]
    classes = [each for each in classes if each is not types.SimpleNamespace]  # it has no fields of its own
    if classes:
        return max(classes, key=lambda each: _likeness(each.__name__, cls.__name__, fields_of(each), accessed))
    return next((value for _, value in values if is_config_instance(value) and _reads(value, accessed)), listed)


def set_inside(cls: type, accessed: Accessed) -> dict[str, Any]:
    """The fields that a config's constructor gives itself, where it takes none of those that are read.

    Such a constructor reads files, which are not there: what it writes out is known without it. A whole number that is
    0 is set later, and a dropout is none.
    """
    node = class_node(cls)
    taken_by_name = signatures.parameters(cls)
    if node is None or not taken_by_name or any(name in taken_by_name for name in accessed.names):
        return {}
    init = next((each for each in node.body if isinstance(each, ast.FunctionDef) and each.name == "__init__"), None)
    found: dict[str, Any] = {}
    for each in nodes_of(init) if init is not None else ():
        target = each.targets[0] if isinstance(each, ast.Assign) and len(each.targets) == 1 else None
        if isinstance(target, ast.Attribute) and is_variable(target.value, "self") and isinstance(each, ast.Assign):
            value = each.value.orelse if isinstance(each.value, ast.IfExp) else each.value
            with contextlib.suppress(ValueError):
                found[target.attr] = ast.literal_eval(value)
    return {name: value for name, value in found.items() if name in accessed.names
            and not (type(value) is int and value == 0) and not argnames.is_dropout(name)}  # fmt: skip


def fields_of(cls: type) -> set[str]:
    """The field names that a config class shows without being made."""
    return set(getattr(cls, "__annotations__", {})) | set(vars(cls)) | set(inspect.signature(cls).parameters)


def _is_config_class(cls: type) -> bool:
    if cls.__module__.partition(".")[0] in ("builtins", "typing", "torch", "collections", "types", "enum", "numpy"):
        return cls is types.SimpleNamespace
    if _is_module(cls):
        return False
    if cls.__module__ == "argparse":
        return cls.__name__ == "Namespace"
    return dataclasses.is_dataclass(cls) or _CLASS_NAME.search(cls.__name__) is not None


def _is_module(cls: type) -> bool:
    return any(base.__name__ == "Module" and base.__module__.startswith("torch.") for base in cls.__mro__)


def _likeness(config: str, model: str, known: set[str], accessed: Accessed) -> tuple[int, int]:
    """A config is the model's by what it holds of the fields read, then by the name they share."""
    shared = sum(name in known for name in accessed.names)
    stem = _CLASS_NAME.sub("", config).lower()
    return shared, len(stem) if stem and stem in model.lower() else 0


def _reads(value: Any, accessed: Accessed) -> bool:
    return bool(accessed) and _shared(value, accessed) * 2 > len(accessed.names)


def _shared(value: Any, accessed: Accessed) -> int:
    """How many of the fields that are read an object has."""
    if isinstance(value, Mapping):
        return sum(name in value for name in accessed.names)
    return sum(hasattr(value, name) for name in accessed.names)
