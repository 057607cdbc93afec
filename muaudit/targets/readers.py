"""Which layer reads an argument of a forward first, by the forward's own text: `self.embed(idx)` reads `idx`."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from muaudit.targets.source import class_node, function_node, nodes_of

_DEEP = 6  # forwards that are followed into one another


@dataclass(frozen=True)
class Reader:
    """A layer with its path in the model. flat: what it reads was flattened, or cut into patches, before."""

    path: str
    layer: nn.Module
    flat: bool = False


def reader(model: nn.Module, argument: str) -> Reader | None:
    """The first layer with parameters that reads an argument; None where the text does not tell."""
    return _in_forward(model, argument, "", _DEEP)


def fields(model: nn.Module, argument: str) -> list[str]:
    """The fields of an argument that the forward reads, where it does nothing else with it: `data.x`.

    None at all where one of them is what every tensor has, or is called.
    """
    forward = forward_of(model)
    nodes = list(nodes_of(forward)) if forward is not None else []
    nodes.sort(key=lambda each: (getattr(each, "lineno", 0), getattr(each, "col_offset", 0)))
    called = {id(each.func) for each in nodes if isinstance(each, ast.Call)}
    uses = [each for each in nodes if isinstance(each, ast.Name) and each.id == argument]
    found = [each for each in nodes if isinstance(each, ast.Attribute) and isinstance(each.value, ast.Name)
             and each.value.id == argument and id(each) not in called]  # fmt: skip
    names = list(dict.fromkeys(each.attr for each in found))
    return names if len(found) == len(uses) and not any(hasattr(torch.Tensor, each) for each in names) else []


def keys(model: nn.Module, argument: str) -> list[str]:
    """The entries of an argument that the forward takes by name, where it does nothing else with it: `batch["ids"]`.

    Those count, too, that methods of the model take to which it is handed on: `self.encode(batch)`.
    """
    forward = forward_of(model)
    return list(dict.fromkeys(_keys(model, forward, argument))) if forward is not None else []


def _keys(model: nn.Module, function: ast.FunctionDef, argument: str, deep: int = 2) -> list[str]:
    nodes = sorted(nodes_of(function), key=lambda each: (getattr(each, "lineno", 0), getattr(each, "col_offset", 0)))
    uses = [each for each in nodes if isinstance(each, ast.Name) and each.id == argument]
    found = [each.slice.value for each in nodes
             if isinstance(each, ast.Subscript) and isinstance(each.value, ast.Name) and each.value.id == argument
             and isinstance(each.slice, ast.Constant) and isinstance(each.slice.value, str)]  # fmt: skip
    further = [each for each in nodes if deep and isinstance(each, ast.Call) and any(arg in uses for arg in each.args)]
    inner = [_keys_of_call(model, each, argument, deep) for each in further]
    known = len(found) + len(inner) == len(uses) and all(inner)
    return [*found, *(name for each in inner for name in each)] if known else []


def _keys_of_call(model: nn.Module, call: ast.Call, argument: str, deep: int) -> list[str]:
    """The entries that one of the model's own methods takes of what it is given."""
    own = isinstance(call.func, ast.Attribute) and ast.unparse(call.func.value) == "self"
    method = getattr(type(model), call.func.attr, None) if own and isinstance(call.func, ast.Attribute) else None
    function = function_node(method) if inspect.isfunction(method) else None
    place = next((at for at, each in enumerate(call.args) if isinstance(each, ast.Name) and each.id == argument), 0)
    if function is None or place + 1 >= len(function.args.args):
        return []
    return _keys(model, function, function.args.args[place + 1].arg, deep - 1)


def unpacked(model: nn.Module, argument: str) -> list[str]:
    """The names that an argument is taken apart into at once, where nothing else is done with it: `x, y = inputs`.

    Of one that is only read by place, `x[0]`, names with these places.
    """
    forward = forward_of(model)
    nodes = list(nodes_of(forward)) if forward is not None else []
    uses = [each for each in nodes if isinstance(each, ast.Name) and each.id == argument]
    for node in nodes:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Tuple) and node.value in uses:
            names = [each.id for each in node.targets[0].elts if isinstance(each, ast.Name)]
            alone = len(uses) == 1 or argument in names  # what comes later is one of its parts
            return names if alone and len(names) == len(node.targets[0].elts) else []
    parts = [each for each in nodes if isinstance(each, ast.Subscript) and each.value in uses]
    places = [each.slice.value for each in parts
              if isinstance(each.slice, ast.Constant) and type(each.slice.value) is int]  # fmt: skip
    named = any(isinstance(each, ast.Subscript) and each.value in parts and _is_text(each.slice) for each in nodes)
    if places and len(places) == len(uses) and min(places) >= 0 and not named:  # what has entries is no tensor
        return [f"{argument}_{at}" for at in range(max(places) + 1)]
    inner = given_first(model, argument) if len(uses) == 1 else None
    while isinstance(inner, nn.Sequential):
        inner = next(iter(inner), None)
    if inner is None or _of_torch(inner):
        return []
    return unpacked(inner, next(iter(inspect.signature(inner.forward).parameters), ""))


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def joined(model: nn.Module, argument: str) -> list[str]:
    """The arguments that a forward joins with this one before a layer reads them: `torch.cat((x, fx), -1)`."""
    forward = forward_of(model)
    taken = [each.arg for each in forward.args.args] if forward is not None else []
    for node in nodes_of(forward) if forward is not None else ():
        if isinstance(node, ast.Call) and _joins(node):
            names = [each.id for each in node.args[0].elts if isinstance(each, ast.Name) and each.id in taken]  # type: ignore[attr-defined]
            if argument in names and len(names) > 1:
                return names
    return []


def encoded(model: nn.Module, argument: str) -> str:
    """What says how many classes an argument is of, where the forward makes one-hot rows of it; else nothing.

    `n_class` for `F.one_hot(x, self.n_class)`, or a number.
    """
    forward = forward_of(model)
    for node in nodes_of(forward) if forward is not None else ():
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == "one_hot" and node.args:
            given = [*node.args[1:], *(each.value for each in node.keywords if each.arg == "num_classes")]
            if given and _passes_on(node.args[0], {argument}):
                return ast.unparse(given[0]).rpartition(".")[2]
    return ""


def given_first(model: nn.Module, argument: str) -> nn.Module | None:
    """The module that a forward gives an argument to at once, whether it has parameters or none."""
    forward = forward_of(model)
    for node in _in_order(forward) if forward is not None else ():
        if isinstance(node, ast.Call) and any(_passes_on(each, {argument}) for each in node.args):
            found = _resolve(model, _attributes(node.func) or [])
            if found is not None:
                return found
    return None


def unsqueezed(model: nn.Module, argument: str) -> bool:
    """Whether a forward begins by giving an argument a dim for its only channel: `audio.unsqueeze(1)`."""
    forward = forward_of(model)
    told = (f"{argument}.unsqueeze(1)", f"torch.unsqueeze({argument}, 1)", f"{argument}[:, None]")
    nodes = sorted(_in_order(forward), key=lambda each: each.lineno) if forward is not None else []  # type: ignore[attr-defined]
    first = next((each for each in nodes if any(
        isinstance(part, ast.Name) and part.id == argument for part in nodes_of(each)
    )), None)  # fmt: skip
    return first is not None and any(ast.unparse(each) in told for each in nodes_of(first))


def viewed(model: nn.Module, argument: str) -> list[int]:
    """The sizes after the first at which a forward views an argument, of numbers and attributes; else none."""
    forward = forward_of(model)
    for node in _in_order(forward) if forward is not None else ():
        if isinstance(node, ast.Call) and ast.unparse(node.func) in (f"{argument}.view", f"{argument}.reshape"):
            places = node.args[0].elts if isinstance(node.args[0], (ast.Tuple, ast.List)) else node.args
            sizes = [_known_size(model, each) for each in places[1:]]
            return [size for size in sizes if size is not None] if all(size is not None for size in sizes) else []
    return []


def _known_size(model: nn.Module, node: ast.expr) -> int | None:
    held = node.value if isinstance(node, ast.Constant) else None
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self":
        held = getattr(model, node.attr, None)
    return held if type(held) is int and held > 0 else None


def takes_arrays(model: nn.Module) -> bool:
    """Whether the model makes tensors of its arguments itself, as of arrays: `torch.LongTensor(seqs)`."""
    makers = ("LongTensor", "FloatTensor", "IntTensor", "from_numpy")
    for function in _methods(model):
        taken = [each.arg for each in function.args.args]
        calls = (node for node in nodes_of(function) if isinstance(node, ast.Call))
        made = (call for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr in makers)
        if any(isinstance(each, ast.Name) and each.id in taken for call in made for each in call.args):
            return True
    return False


def named_dims(model: nn.Module, argument: str) -> list[str]:
    """What a forward, or what it hands an argument to at once, calls its dims: `batch, n_vars, patch_len = x.shape`."""
    forward = forward_of(model)
    for node in nodes_of(forward) if forward is not None else ():
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Tuple):
            names = [each.id for each in node.targets[0].elts if isinstance(each, ast.Name)]
            if _shape_of(node.value) == argument and len(names) == len(node.targets[0].elts):
                return names
    for node in _in_order(forward) if forward is not None else ():
        if isinstance(node, ast.Call) and node.args and _passes_on(node.args[0], {argument}):
            part = _resolve(model, _attributes(node.func) or [])
            if part is not None and not _of_torch(part):
                inner = _taken_as(list(inspect.signature(part.forward).parameters), 0)
                return named_dims(part, inner) if inner else []
    return []


def rank(model: nn.Module, argument: str) -> int | None:
    """How many dims an argument has, where the forward takes its shape apart, `b, t, c = x.shape`, or names each of
    its dims: `x.permute(0, 3, 1, 2)`, `x[:, :, None, :]`."""
    forward = forward_of(model)
    for node in nodes_of(forward) if forward is not None else ():
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Tuple):
            names = node.targets[0].elts
            if _shape_of(node.value) == argument and not any(isinstance(each, ast.Starred) for each in names):
                return len(names)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == f"{argument}.permute" and len(node.args) > 1:
            return len(node.args)
        if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id == argument:
            places = node.slice.elts if isinstance(node.slice, ast.Tuple) else []
            kept = [each for each in places if not (isinstance(each, ast.Constant) and each.value is None)]
            if kept and all(isinstance(each, ast.Slice) for each in kept) and len(places) > len(kept):
                return len(kept)
    return None


def _in_forward(
    module: nn.Module, argument: str, path: str, depth: int, body: ast.FunctionDef | None = None
) -> Reader | None:
    """The reader of an argument of a module's forward, or of the method that this is the body of."""
    forward = body or forward_of(module)
    if forward is None or depth == 0:
        return None
    names, looped = {argument, *_entries(forward, argument)}, _looped(forward)
    for node in _in_order(forward):
        if isinstance(node, ast.Assign) and _passes_on(node.value, names):
            names |= {each.id for target in node.targets for each in _first_names(target)}
        if not isinstance(node, ast.Call):
            continue
        place: int | str | None = next((at for at, given in enumerate(node.args) if _passes_on(given, names)), None)
        if place is None:
            place = next((each.arg for each in node.keywords if each.arg and _passes_on(each.value, names)), None)
        parts = _attributes(node.func)
        if parts is None and isinstance(node.func, ast.Name):
            parts = looped.get(node.func.id)
        if place is None or parts is None:
            continue
        found = _resolve(module, parts)
        method = _method(module, parts) if found is None else None
        if method is not None:
            name = _taken_as([each.arg for each in method.args.args][1:], place)
            inner = _in_forward(module, name, path, depth - 1, method) if name else None
            if inner is not None:
                return inner
        if found is not None:
            within = _first_layer(found, _joined(path, ".".join(parts)), place, depth)
            if within is not None:
                flat = within.flat or any("flat" in ast.dump(given) for given in node.args)
                return Reader(within.path, within.layer, flat)
    return None


def _entries(forward: ast.FunctionDef, key: str) -> set[str]:
    """`batch['ids']` and `batch.ids` for `ids`: an entry of any argument goes by its key."""
    return {text for each in forward.args.args for text in (f"{each.arg}[{key!r}]", f"{each.arg}.{key}")}


def _first_names(target: ast.expr) -> list[ast.Name]:
    """What is assigned to: a name, or the first of several that a value is split into."""
    if isinstance(target, ast.Tuple) and target.elts:
        target = target.elts[0]
    return [target] if isinstance(target, ast.Name) else []


def _looped(forward: ast.FunctionDef) -> dict[str, list[str]]:
    """The variables of loops over lists of modules, each as the first of them: `for layer in self.layers`."""
    found: dict[str, list[str]] = {}
    for node in nodes_of(forward):
        if not isinstance(node, (ast.For, ast.comprehension)):
            continue
        over = node.iter
        called = over.func.id if isinstance(over, ast.Call) and isinstance(over.func, ast.Name) else ""
        lists = over.args if isinstance(over, ast.Call) and called in ("zip", "enumerate") else [over]
        targets = [node.target]
        if called and isinstance(node.target, ast.Tuple):
            targets = node.target.elts[1:] if called == "enumerate" else node.target.elts
        for target, each in zip(targets, lists, strict=False):
            parts = _attributes(each.value if isinstance(each, ast.Subscript) else each)
            for place, name in enumerate(target.elts if isinstance(target, ast.Tuple) else [target]):
                if parts is not None and isinstance(name, ast.Name):
                    inner = [str(place)] if isinstance(target, ast.Tuple) else []
                    found.setdefault(name.id, [*parts, "0", *inner])
    return found


def _taken_as(names: list[str], place: int | str) -> str:
    """What a function calls the argument that is given at a place or by a name; empty where it takes none there."""
    if isinstance(place, str):
        return place if place in names else ""
    return names[place] if place < len(names) else ""


def _first_layer(module: nn.Module, path: str, place: int | str, depth: int) -> Reader | None:
    """The layer that reads the argument of a module's call that stands at a place or is given by name."""
    if _of_torch(module):
        if not isinstance(module, nn.Sequential):
            return Reader(path, module) if next(module.parameters(), None) is not None else None
        flat = False
        for name, part in module.named_children():
            found = _first_layer(part, _joined(path, name), 0, depth)
            if found is not None:
                return Reader(found.path, found.layer, flat or found.flat)
            flat = flat or any(word in type(part).__name__ for word in ("Flatten", "Rearrange", "Unfold"))
        return None
    name = _taken_as([each.name for each in inspect.signature(module.forward).parameters.values()], place)
    return _in_forward(module, name, path, depth - 1) if name else None


def _method(module: nn.Module, parts: list[str]) -> ast.FunctionDef | None:
    """The method of a module's own that is called: `self.forward_features(x)`."""
    if len(parts) != 1:
        return None
    held = getattr(type(module), parts[0], None)
    of_torch = str(getattr(held, "__module__", "torch.")).startswith("torch.")
    return function_node(held) if inspect.isfunction(held) and not of_torch else None


def _of_torch(module: nn.Module) -> bool:
    """Whether a module is a layer of torch, or a class of one's own that runs as one."""
    runs = next(cls for cls in type(module).__mro__ if "forward" in vars(cls))
    return runs.__module__.startswith("torch.")


def running(module: nn.Module) -> Callable[..., Any]:
    """A module's forward, or the method of its own that this hands everything on to: `self.features(*args)`."""
    node = _forward_node(module)
    name = _handed_all(node) if node is not None else ""
    method: Callable[..., Any] = getattr(module, name) if name and hasattr(type(module), name) else module.forward
    return method


def forward_of(module: nn.Module) -> ast.FunctionDef | None:
    """The text of what a module runs, of the class that defines it; None where it cannot be read."""
    node = _forward_node(module)
    name = _handed_all(node) if node is not None else ""
    return (_method(module, [name]) or node) if name else node


def _forward_node(module: nn.Module) -> ast.FunctionDef | None:
    for cls in type(module).__mro__:
        if "forward" in vars(cls):
            node = class_node(cls)
            body = node.body if node is not None else []
            return next((each for each in body if isinstance(each, ast.FunctionDef) and each.name == "forward"), None)
    return None


def _handed_all(forward: ast.FunctionDef) -> str:
    """The method that a forward which takes any arguments calls with all of them; empty where there is none."""
    rest = forward.args.vararg
    if rest is None or len(forward.args.args) > 1:
        return ""
    calls = [each for each in nodes_of(forward) if isinstance(each, ast.Call) and each.args]
    handed = (ast.unparse(each.func) for each in calls if ast.unparse(each.args[0]) == f"*{rest.arg}")
    names = (function.removeprefix("self.") for function in handed if function.startswith("self."))
    return next((name for name in names if name.isidentifier()), "")


def _in_order(forward: ast.FunctionDef) -> Iterator[ast.AST]:
    """The nodes of the body by their place in the text, an assignment after the calls in it."""
    nodes = [node for node in nodes_of(forward) if isinstance(node, (ast.Assign, ast.Call))]
    yield from sorted(nodes, key=lambda node: (node.end_lineno or 0, node.end_col_offset or 0))


def _methods(model: nn.Module) -> Iterator[ast.FunctionDef]:
    node = class_node(type(model))
    yield from (each for each in (node.body if node is not None else ()) if isinstance(each, ast.FunctionDef))


def _joins(node: ast.Call) -> bool:
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    several = bool(node.args) and isinstance(node.args[0], (ast.Tuple, ast.List))
    return several and name in ("cat", "concat", "concatenate", "hstack")


def _passes_on(node: ast.expr, names: set[str]) -> bool:
    """Whether an expression is one of these values in another form: `x.float()`, `rearrange(x, ...)`, `x[:, 0]`."""
    if isinstance(node, ast.Call) and _joins(node):
        return any(_passes_on(each, names) for each in node.args[0].elts)  # type: ignore[attr-defined]
    if isinstance(node, ast.Name):
        return node.id in names
    if isinstance(node, ast.Attribute):
        return ast.unparse(node) in names
    if isinstance(node, ast.Call):
        if isinstance(node.func, ast.Attribute) and _root(node.func) not in ("self", None):
            inner = node.func.value
            return _passes_on(inner, names) or (bool(node.args) and _passes_on(node.args[0], names))
        return isinstance(node.func, ast.Name) and bool(node.args) and _passes_on(node.args[0], names)
    if isinstance(node, ast.Subscript):
        return ast.unparse(node) in names or _passes_on(node.value, names)
    return isinstance(node, ast.BinOp) and (_passes_on(node.left, names) or _passes_on(node.right, names))


def _attributes(node: ast.expr) -> list[str] | None:
    """`self.stem.conv` as its parts; numbers in brackets too. None for anything else."""
    if isinstance(node, ast.Name):
        return [] if node.id == "self" else None
    if isinstance(node, ast.Attribute):
        before = _attributes(node.value)
        return None if before is None else [*before, node.attr]
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
        before = _attributes(node.value)
        return None if before is None else [*before, str(node.slice.value)]
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Name):  # self.layers[i], in a loop
        before = _attributes(node.value)
        return None if before is None else [*before, "0"]
    return None


def _root(node: ast.expr) -> str | None:
    while isinstance(node, (ast.Attribute, ast.Subscript, ast.Call)):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else None


def _resolve(module: nn.Module, parts: list[str]) -> nn.Module | None:
    if not parts:
        return None
    try:
        return module.get_submodule(".".join(parts))
    except AttributeError:
        return None


def _shape_of(node: ast.expr) -> str | None:
    """`x` of `x.shape` and `x.size()`."""
    node = node.func if isinstance(node, ast.Call) else node
    if isinstance(node, ast.Attribute) and node.attr in ("shape", "size") and isinstance(node.value, ast.Name):
        return node.value.id
    return None


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
