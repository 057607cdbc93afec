"""Which class in a module is the model: the root that the other classes are parts of."""

from __future__ import annotations

import ast
import inspect
import re
from types import ModuleType
from typing import Any

from muaudit.errors import AmbiguousModelError, UserError
from muaudit.targets import arguments, names
from muaudit.targets.source import class_node

_PREFERRED = re.compile(
    r"(GPT|Transformer|Model|Net|LM|Llama|MLP|ViT|BERT|Mixer|Mamba|ResNet|UNet|Classifier)", re.IGNORECASE
)
_NO_MODEL = re.compile(r"(Loss|Criterion|Metric|Wrapper|Mixin)$")


def find_root(module: ModuleType, target: str) -> tuple[type, str]:
    """The model class of a module and a note on the choice (empty when there was none to make).

    Raises UserError when the module holds no `nn.Module`, or several that may be the model.
    """
    candidates = module_classes(module)
    if not candidates:
        raise UserError(
            f"{target} holds no model: no class that derives from torch.nn.Module and no build(width)",
            "name a model in another file, or add to this one:\n" + SPEC,
        )
    parts = {name: used_classes(cls) & set(candidates) - {name} for name, cls in candidates.items()}
    inner = set().union(*parts.values())
    roots = [name for name in candidates if name not in inner] or list(candidates)
    best = _strongest({name: _score(candidates[name], module, parts, name) for name in roots})
    if len(best) > 1:
        raise ambiguous(target, best)
    others = [name for name in roots if name != best[0]]
    note = f"{best[0]} was taken for the model, not {', '.join(others)}; {target}:NAME picks another" if others else ""
    return candidates[best[0]], note


def module_classes(module: ModuleType) -> dict[str, type]:
    """The models a module defines, or else those that it imports from its own neighbours."""
    classes = {name: value for name, value in vars(module).items() if is_model_class(value)}
    own = {name: value for name, value in classes.items() if value.__module__ == module.__name__}
    package = module.__name__.partition(".")[0]
    near = {name: value for name, value in classes.items() if value.__module__.partition(".")[0] == package}
    return own or near


def is_model_class(value: Any) -> bool:
    """Whether a value is a class of modules that can be run: it, or a base of its own, defines a forward."""
    import torch

    if not inspect.isclass(value) or not issubclass(value, torch.nn.Module) or value is torch.nn.Module:
        return False
    return value.forward is not torch.nn.Module.forward and not value.__module__.startswith("torch.")


def used_classes(cls: type) -> set[str]:
    """The names that a class mentions in its body: the classes it instantiates are among them."""
    definition = class_node(cls)
    body = definition.body if definition is not None else []
    return {node.id for statement in body for node in ast.walk(statement) if isinstance(node, ast.Name)} | {
        base.__name__ for base in cls.__mro__[1:]
    }


def ambiguous(target: str, candidates: list[str]) -> AmbiguousModelError:
    """Several classes may be the model: list them as commands to paste."""
    commands = "\n".join(f"  muaudit check {target}:{name}" for name in candidates)
    message = f"{target} holds several models: {', '.join(candidates)}"
    return AmbiguousModelError(message, f"name one of them:\n{commands}", candidates)


SPEC = """  def build(width):
      return MyModel(width)

  def batch(width):
      return torch.randint(0, 256, (2, 32))"""
"""The smallest spec, for messages to show."""


def _score(cls: type, module: ModuleType, parts: dict[str, set[str]], name: str) -> tuple[bool, bool, bool]:
    """What speaks for a class: an argument for the width, parts of its own, a model's name."""
    knobs = arguments.read(cls, module).knobs
    wide = any(names.rank(knob, names.WIDTH) is not None for knob in knobs)
    return wide, bool(parts[name]), _PREFERRED.search(name) is not None


def _strongest(scores: dict[str, tuple[bool, bool, bool]]) -> list[str]:
    models = {name: score for name, score in scores.items() if not _NO_MODEL.search(name)} or scores
    best = max(models.values())
    return [name for name, score in models.items() if score == best]
