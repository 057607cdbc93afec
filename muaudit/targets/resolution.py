"""From the TARGET text to one of its forms: a spec, a model class, a config object, or a Hugging Face config."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from muaudit.errors import NoWidthError, UserError
from muaudit.targets import configs, loader, methods
from muaudit.targets.candidates import Candidate, candidates
from muaudit.targets.config_reads import is_config_name
from muaudit.targets.discover import find_root, module_classes
from muaudit.targets.factories import factories
from muaudit.targets.options import TargetOptions
from muaudit.targets.probe import Target

_OPEN = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_SHOWN = 8
"""Files that a message names at most."""
_FORMS = "expected file.py, file.py:Name, package.module:Name or a Hugging Face config.json"


def resolve_target(text: str | None, options: TargetOptions) -> Target:
    """The target behind `muaudit.targets.resolve`."""
    text = text if text is not None else _only_file(Path.cwd())
    source, name = _split(text)
    path = Path(source).expanduser()
    if path.is_dir():
        return _from_folder(path, options)
    if path.suffix == ".json" and path.is_file():
        return _from_hugging_face(path, options)
    if path.is_file():
        module = loader.load_file(path)
        return _from_module(module, name, source, options, path)
    if name is None or path.suffix == ".py" or "/" in source:
        raise UserError(f"no such file: {source}", _nearby(path) or _FORMS)
    return _from_module(loader.load_module(source), name, source, options, None)


def _split(text: str) -> tuple[str, str | None]:
    """The file or module and the name in it; a Windows drive is no such split."""
    source, colon, name = text.rpartition(":")
    if not colon or "/" in name or "\\" in name or Path(text).exists():
        return text, None
    return source, name or None


def _from_module(
    module: ModuleType, name: str | None, source: str, options: TargetOptions, path: Path | None
) -> Target:
    function, _, method = (name or "").rpartition(".")
    if function and inspect.isfunction(held := getattr(module, function, None)):  # a method of what it builds
        from muaudit.targets.model_classes import target_from_class

        return target_from_class(methods.through(held, method), _home(held, module), options, path, method=method)
    if name is not None:
        return _from_object(loader.lookup(module, name, source), name, module, options, path)
    if hasattr(module, "build") and not _takes_config(module.build):
        from muaudit.targets.spec import target_from_module

        return target_from_module(module, options, path)
    from muaudit.targets.model_classes import target_from_class

    model, note = find_root(module, source)
    if (hugging_face := _hugging_face_class(model)) is not None:
        found: Target = hugging_face.target_from_object(model, options, path)
        return replace(found, notes=(*filter(None, (note,)), *found.notes))
    try:
        return target_from_class(model, _home(model, module), options, path, note)
    except NoWidthError as error:
        return _from_returned(model, module, options, path, error)
    except UserError as error:
        return _from_parent(model, module, options, path, error)


def _from_returned(
    model: Any, module: ModuleType, options: TargetOptions, path: Path | None, error: NoWidthError
) -> Target:  # fmt: skip
    """The target of the class that a function without a width returns. Raises the error where that has none either."""
    from muaudit.targets.model_classes import target_from_class

    classes = module_classes(module)
    built = None if inspect.isclass(model) else factories(module, classes).get(getattr(model, "__name__", ""))
    if built is None or built.returns not in classes:
        raise error
    note = f"{built.returns} was taken for the model, as {model.__name__}, which returns it, takes no width"
    try:
        return target_from_class(classes[built.returns], module, options, path, note)
    except UserError:
        raise error from None


def _from_parent(
    model: Any, module: ModuleType, options: TargetOptions, path: Path | None, error: UserError
) -> Target:  # fmt: skip
    """The target of the model's own parent, which may be easier to call. Raises the error where there is none."""
    from muaudit.targets.model_classes import target_from_class

    bases = model.__mro__[1:] if inspect.isclass(model) and error.message.startswith("no input was found") else ()
    parent = next((each for each in bases if each.__module__ == module.__name__ and methods.is_module(each)), None)
    if parent is None or not methods.has_forward(parent):
        raise error
    note = f"{parent.__name__} was taken for the model: for {model.__name__}, which derives from it, no input was found"
    try:
        return target_from_class(parent, _home(parent, module), options, path, note)
    except UserError:
        raise error from None


def _from_object(found: Any, name: str, module: ModuleType, options: TargetOptions, path: Path | None) -> Target:
    """A named object: a model class, a config for one, or a function that builds one."""
    import torch

    where = path.name if path else module.__name__
    if isinstance(found, torch.nn.Module):
        cls = type(found).__name__
        named = f"name its class ({where}:{cls}), or write" if hasattr(module, cls) else "write"
        raise UserError(f"{where}:{name} is a model ({cls}) of one width, expected a class or a function",
                        f"{named} build(width)")  # fmt: skip
    hugging_face = _hugging_face_class(found)
    if hugging_face is not None:
        target: Target = hugging_face.target_from_object(found, options, path)
        return target
    from muaudit.targets.model_classes import target_from_class

    if inspect.isclass(found) and issubclass(found, torch.nn.Module):
        if not methods.has_forward(found):
            raise methods.no_forward(found, _home(found, module), str(path or module.__name__))
        return target_from_class(found, _home(found, module), options, path)
    owner = methods.is_method_of(found, name, module)
    if owner is not None:
        method = name.rpartition(".")[2]
        return target_from_class(methods.bound(owner, method), _home(owner, module), options, path, method=method)
    if configs.is_config_instance(found) or configs.config_class(found) is not None or isinstance(found, dict):
        return _from_config(found, module, where, options, path)
    if inspect.isfunction(found) and not _takes_width_alone(found) and not hasattr(module, "build"):
        return target_from_class(found, _home(found, module), options, path)
    if callable(found) and not inspect.isclass(found):
        from muaudit.targets.spec import target_from_module

        return target_from_module(module, options, path, build=name)
    raise UserError(f"{where}:{name} is of type {type(found).__name__}, expected a torch.nn.Module class or a function "
                    "that builds one", loader.near(name, loader.public_names(module), f"{where} has"))  # fmt: skip


def _takes_config(function: Any) -> bool:
    """Whether a function called `build` is a model's own, `build(args)`, and no spec's: it takes a config alone."""
    taken = list(inspect.signature(function).parameters) if inspect.isfunction(function) else []
    return len(taken) == 1 and is_config_name(taken[0], None)


def _takes_width_alone(function: Callable[..., Any]) -> bool:
    """Whether a function is called as a spec's `build(width)` is: with one argument, whatever else it could take."""
    every = inspect.signature(function).parameters.values()
    open_ended = any(each.kind is inspect.Parameter.VAR_KEYWORD for each in every)
    required = [each for each in every if each.default is each.empty and each.kind not in _OPEN]
    return open_ended or (len(required) == 1 and required[0].name == "width") or (len(required) == len(every) == 1)


def _from_config(config: Any, module: ModuleType, where: str, options: TargetOptions, path: Path | None) -> Target:
    """A config the user named: the model is the root of the module that the config stands in."""
    from muaudit.targets.model_classes import target_from_class

    model, note = find_root(module, where)
    return target_from_class(model, _home(model, module), options, path, note, config)


def _from_folder(path: Path, options: TargetOptions) -> Target:
    if (path / "config.json").is_file():
        return _from_hugging_face(path / "config.json", options)
    raise UserError(f"{path} is a folder without a config.json", _commands(path, candidates(path)) or _FORMS)


def _from_hugging_face(path: Path, options: TargetOptions) -> Target:
    from muaudit.targets.huggingface import target_from_file

    return target_from_file(path, options)


def _hugging_face_class(found: Any) -> Any:
    """The room for Hugging Face where an object is one of its models or configs, without importing transformers."""
    cls = found if inspect.isclass(found) else type(found)
    if not any(base.__module__.startswith("transformers.") for base in cls.__mro__):
        return None
    from muaudit.targets import huggingface

    return huggingface if huggingface.is_model_or_config(cls) else None


def _only_file(folder: Path) -> str:
    """The one file worth auditing: model.py, else the only one whose text speaks of a module or a build function."""
    if (folder / "model.py").is_file():
        return "model.py"
    found = candidates(folder)
    here = [each for each in found if each.file.endswith(".py") and "/" not in each.file]
    if len(here) == 1:
        return here[0].file
    if here:
        names = ", ".join(each.file for each in here)
        raise UserError(f"several files here may hold the model: {names}", _commands(Path(), here))
    if any(each.file == "config.json" for each in found):
        return "config.json"
    raise UserError("no target given, and no file here holds a model", _commands(Path(), found) or _FORMS)


def _commands(folder: Path, found: Sequence[Candidate]) -> str:
    """The commands for files that may hold a model, those nearest to the folder first; nothing without any."""
    nearest = sorted(found, key=lambda each: (each.file.count("/"), each.file))
    lines = [f"  muaudit check {folder / each.file}" for each in nearest[:_SHOWN]]
    more = f"\n{len(found) - _SHOWN} more hold modules; muaudit init tries all of them" if len(found) > _SHOWN else ""
    return "name one of its files:\n" + "\n".join(lines) + more if lines else ""


def _home(cls: Callable[..., Any], module: ModuleType) -> ModuleType:
    """The module a class was written in, where its config is found too."""
    return sys.modules.get(cls.__module__, module)


def _nearby(path: Path) -> str:
    folder = path.parent if path.parent.is_dir() else Path()
    names = [file.name for file in sorted(folder.glob("*.py"))]
    return loader.near(path.name, names, f"Python files in {folder.resolve().name}")
