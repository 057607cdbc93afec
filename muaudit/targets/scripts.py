"""Files that do more than define things when they are run: a training script with the model in it.

A file whose text shows that it works when it is imported (a loop, a call of its own main, a download) is not
run whole, and one that fails when it is run whole is run again without that: its imports, classes, functions and
constants alone, statement by statement.
"""

from __future__ import annotations
import __future__

import ast
import builtins
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from . import argnames
from .source import nodes_of
from .usercode import describe

_READS = frozenset(("open", "read", "readlines", "read_text", "load", "loads", "safe_load", "splitlines"))
_NOTE = "__muaudit_note__"
_LEFT_OUT = "__muaudit_left_out__"
_LOOPS = (ast.For, ast.While, ast.AsyncFor, ast.With, ast.AsyncWith)
_DEFINITIONS = (ast.Import, ast.ImportFrom, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
_WORK = frozenset((
    "backward", "fit", "train_model", "DataLoader", "load_dataset", "urlretrieve", "urlopen", "download", "system",
    "init_process_group", "Popen", "hf_hub_download", "snapshot_download", "input", "check_output", "mkdir", "makedirs",
))  # fmt: skip
_CALLS = frozenset((
    "device", "is_available", "ArgumentParser", "add_argument", "add_argument_group", "parse_args", "parse_known_args",
    "set_defaults", "getenv", "join", "dirname", "abspath", "realpath", "Path", "getLogger", "namedtuple",
    "TypeVar", "NewType", "ParamSpec", "partial", "SimpleNamespace", "OrderedDict", "defaultdict", "field", "sqrt",
    "log", "append", "insert", "dataclass", "Enum", "version_info", "cpu_count", "device_count", "Namespace",
    "split", "startswith", "strip", "lower", "replace",
))  # fmt: skip


class _Missing:
    """Stands for something that could not be imported: fine until it is used."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # what inspect asks of anything
            raise AttributeError(name)
        raise self._error

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise self._error

    def __mro_entries__(self, bases: Any) -> Any:
        raise self._error


def work_in(tree: ast.Module) -> str:
    """What a file does when it is run besides defining things, with its line; empty where its text shows nothing."""
    own = {node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))}
    works = _WORK - {"DataLoader"} if _gives_batches(tree) else _WORK
    for node in tree.body:
        if isinstance(node, _LOOPS) and not _is_small(node):
            return f"line {node.lineno} runs a {_kind(node)}"
        if isinstance(node, _DEFINITIONS) or _is_main(node):
            continue
        if isinstance(node, ast.Expr) and _called(node.value) in own:
            return f"line {node.lineno} calls {_called(node.value)}()"
        for call in (each for each in nodes_of(node) if isinstance(each, ast.Call)):
            loads = any(each.arg == "download" for each in call.keywords)
            if loads or _called(call) in works:
                return f"line {call.lineno} calls {_called(call)}()"
    return ""


def _gives_batches(tree: ast.Module) -> bool:
    """Whether a file names its data as they are asked for: `batches = DataLoader(...)`."""
    names = (each for node in tree.body if isinstance(node, ast.Assign) for each in node.targets)
    return any(isinstance(each, ast.Name) and each.id in ("batches", "held_out") for each in names)


def run_definitions(tree: ast.Module, file: str, space: dict[str, Any], why: str) -> bool:
    """Run the definitions of a file in `space`, which keeps a note on it; whether there is a model among them.

    Raises whatever kept the file from defining one.
    """
    classes = {node.name for node in tree.body if isinstance(node, ast.ClassDef) and not _is_module(node)}
    failed: list[Exception] = []
    left_out: dict[str, Exception] = {}
    starred: Exception | None = None
    needed = _read_by_classes(tree)
    for node in _definitions(tree.body, classes, needed):
        try:
            exec(compile(ast.Module([node], []), file, "exec", _futures(tree), dont_inherit=True), space)
        except (Exception, SystemExit) as error:
            if isinstance(error, Exception):
                space.update((name, _Missing(error)) for name in _imported(node))
                starred = starred or (error if "*" in _names_of(node) else None)
                if isinstance(node, ast.ClassDef):
                    space[node.name] = _Missing(error)
                    left_out |= {node.name: error} if _has_forward(node) else {}
            if isinstance(error, ImportError) or (isinstance(node, _DEFINITIONS) and isinstance(error, Exception)):
                failed.append(error)
    if starred is not None:  # what it would have brought is what is read and nowhere made
        space.update((name, _Missing(starred)) for name in _read_alone(tree) - {*space, *vars(builtins)})
    found = _holds_model(space)
    if failed and not found:
        raise failed[-1]
    space[_NOTE] = f"only the definitions in this file were run: {why}"
    if guessed := {name: value for name in needed - {*space} if type(value := argnames.guess(name)) is int}:
        space.update(guessed)
        shown = ", ".join(f"{name}={value}" for name, value in sorted(guessed.items()))
        space[_NOTE] += f"; guessed, as what makes them was not run: {shown}"
    if left_out:
        reasons = "; ".join(dict.fromkeys(describe(each) for each in left_out.values()))
        space[_LEFT_OUT] = f"left out, for they could not be defined ({reasons}): {', '.join(left_out)}"
    return found


def note_of(space: dict[str, Any]) -> str:
    """What there is to say about how a module was run; empty where it was run whole."""
    return "; ".join(filter(None, (str(space.get(_NOTE, "")), left_out_of(space))))


def left_out_of(space: dict[str, Any]) -> str:
    """The classes with a forward that a module lacks, and why; empty where it has all of them."""
    return str(space.get(_LEFT_OUT, ""))


def _futures(tree: ast.Module) -> int:
    """The flags of what a file imports from `__future__`, which goes for all of its statements."""
    names = (alias.name for node in tree.body if isinstance(node, ast.ImportFrom) and node.module == "__future__"
             for alias in node.names)  # fmt: skip
    return sum(getattr(__future__, name).compiler_flag for name in names)


def _read_by_classes(tree: ast.Module) -> set[str]:
    """The names of a file's own variables that its classes read, and those that these are made of."""
    made: dict[str, set[str]] = {}
    for node in tree.body:
        if isinstance(node, (ast.Assign, ast.AnnAssign, ast.With)):
            names = [each for each in nodes_of(node) if isinstance(each, ast.Name)]
            read = {each.id for each in names if isinstance(each.ctx, ast.Load)}
            for each in names:
                if isinstance(each.ctx, ast.Store):
                    made.setdefault(each.id, set()).update(read)
    classes = (node for node in tree.body if isinstance(node, ast.ClassDef))
    waiting = [each.id for node in classes for each in nodes_of(node) if isinstance(each, ast.Name)]
    found: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in made and name not in found:
            found.add(name)
            waiting += made[name]
    return found


def _definitions(body: list[ast.stmt], classes: set[str], needed: set[str]) -> Iterator[ast.stmt]:
    """The statements to run. needed: the variables for which a file of the user's is read."""
    for node in body:
        if isinstance(node, _DEFINITIONS) or _is_plain(node, classes):
            inner = []
        elif isinstance(node, ast.With) and _is_small(node) and _makes(node, needed):
            if all(_is_plain(each, {*classes, *_READS}) for each in node.body):
                yield node
            continue
        elif isinstance(node, ast.Try):
            inner = [*node.body, *node.orelse, *node.finalbody, *(each for part in node.handlers for each in part.body)]
        elif isinstance(node, ast.If) and not _is_main(node) and _harmless(node.test, classes):
            inner = [*node.body, *node.orelse]
        else:
            continue
        if all(isinstance(each, (*_DEFINITIONS, ast.Pass)) or _is_plain(each, classes) for each in inner):
            yield node


def _makes(node: ast.With, needed: set[str]) -> bool:
    targets = (each for part in node.body for each in nodes_of(part) if isinstance(each, ast.Name))
    return any(isinstance(each.ctx, ast.Store) and each.id in needed for each in targets)


def _is_plain(node: ast.stmt, classes: set[str]) -> bool:
    """A constant or a setting: an assignment, or a call, of what does no work."""
    if isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Expr)):
        return node.value is None or _harmless(node.value, classes)
    return isinstance(node, ast.Pass)


def _harmless(value: ast.expr, classes: set[str]) -> bool:
    calls = (each for each in nodes_of(value) if isinstance(each, ast.Call))
    simple = {name for name in vars(builtins) if name not in ("open", "input", "exec", "eval", "compile", "print")}
    known = simple | _CALLS | classes
    return all(
        _called(call) in known or ast.unparse(call.func) == "os.environ.get" or _is_layer(call.func) for call in calls
    )


def _is_layer(called: ast.expr) -> bool:
    """Whether what is called is a layer of torch: `nn.LeakyReLU(0.1)` in a table of activations."""
    text = ast.unparse(called)
    return text.rpartition(".")[0] in ("nn", "torch.nn") and text.rpartition(".")[2][:1].isupper()


def _called(node: ast.expr) -> str:
    """The last name of what is called: `fit` of `trainer.fit(...)`."""
    if not isinstance(node, ast.Call):
        return ""
    function = node.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _is_main(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and any(
        isinstance(each, ast.Name) and each.id == "__name__" for each in nodes_of(node.test)
    )


def _is_module(node: ast.ClassDef) -> bool:
    """Whether a class may be a model, which is no setting to be made at once."""
    return any("Module" in ast.dump(base) for base in node.bases)


def _imported(node: ast.stmt) -> Iterator[str]:
    return (name for name in _names_of(node) if name != "*")


def _names_of(node: ast.stmt) -> Iterator[str]:
    """The names that an import would bind; a star where it brings whatever there is."""
    for each in nodes_of(node):
        if isinstance(each, (ast.Import, ast.ImportFrom)):
            yield from (alias.asname or alias.name.partition(".")[0] for alias in each.names)


def _read_alone(tree: ast.Module) -> set[str]:
    """The names that a file reads and nowhere assigns, defines, takes or imports."""
    names = [node for node in nodes_of(tree) if isinstance(node, ast.Name)]
    made = {node.id for node in names if not isinstance(node.ctx, ast.Load)}
    made |= {node.arg for node in nodes_of(tree) if isinstance(node, ast.arg)}
    return {node.id for node in names} - made


def _has_forward(node: ast.ClassDef) -> bool:
    return any(isinstance(each, ast.FunctionDef) and each.name == "forward" for each in node.body)


def _holds_model(space: dict[str, Any]) -> bool:
    import torch

    kinds = [value for value in space.values() if isinstance(value, type)]
    with suppress(TypeError):
        return "build" in space or any(issubclass(each, torch.nn.Module) for each in kinds
                                       if not each.__module__.startswith("torch."))  # fmt: skip
    return False


def _is_small(node: ast.stmt) -> bool:
    """Whether a loop goes over what is written out there, or over a dict, or a block of with reads a file."""
    if isinstance(node, ast.For):
        over = _called(node.iter)
        return isinstance(node.iter, (ast.Tuple, ast.List, ast.Set, ast.Dict)) or over in ("items", "keys", "values")
    if isinstance(node, ast.With):
        opened = [item.context_expr for item in node.items]
        return all(_called(each) == "open" and "w" not in ast.unparse(each).rpartition(",")[2] for each in opened)
    return False


def _kind(node: ast.stmt) -> str:
    return "block of with" if isinstance(node, (ast.With, ast.AsyncWith)) else "loop"
