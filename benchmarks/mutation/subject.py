"""A fixture as muaudit sees it: spec functions, and what a mutation needs to know about the model."""

from __future__ import annotations

import importlib.util
import itertools
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

FIXTURES = Path(__file__).parent.parent.parent / "fixtures"
_serial = itertools.count()


@dataclass(frozen=True)
class Subject:
    """The spec functions of a model; `base` is its base width."""

    name: str
    path: Path
    base: int
    widths: tuple[int, ...]
    build: Callable[[int], nn.Module]
    batch: Callable[[int], Any]
    loss: Callable[[Any, Any], torch.Tensor]
    optimizer: Callable[[nn.Module], torch.optim.Optimizer]

    def forward(self, model: nn.Module, width: int) -> Any:
        batch = self.batch(width)
        return model(*(batch if isinstance(batch, tuple) else (batch,)))


def load(name: str, base: int | None = None) -> Subject:
    """The fixture `gpt/table8`, with another base width if one is given."""
    path = FIXTURES / f"{name}.py"
    module = _module(path)
    widths = tuple(module.widths)
    if base is not None:
        module.BASE = base
    return Subject(name, path, module.BASE, widths, module.build, module.batch, module.loss, module.optimizer)


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"mutated_{next(_serial)}_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@dataclass(frozen=True)
class Anatomy:
    """What the built model is made of, at its first width."""

    names: tuple[str, ...]  # of the parameters, a shared one once
    owners: dict[str, tuple[str, ...]]  # modules that hold each parameter, a shared one several times
    zero: frozenset[str]  # parameters that start at zero
    called: frozenset[str]  # modules whose forward runs
    family: str  # "adam" | "sgd"


@cache
def anatomy(name: str) -> Anatomy:
    """Build a fixture once, run it once, and look."""
    subject = load(name)
    width = subject.widths[0]
    torch.manual_seed(0)
    model = subject.build(width)
    called: set[str] = set()
    for module_name, module in model.named_modules():
        module.register_forward_hook(lambda *_, module_name=module_name: called.add(module_name))
    subject.forward(model, width)
    names = {id(p): parameter for parameter, p in model.named_parameters()}
    owners: dict[str, list[str]] = {}
    for module_name, module in model.named_modules():
        for key, p in module.named_parameters(recurse=False):
            owners.setdefault(names[id(p)], []).append(f"{module_name}:{key}")
    return Anatomy(
        tuple(names.values()),
        {parameter: tuple(held) for parameter, held in owners.items()},
        frozenset(parameter for parameter, p in model.named_parameters() if not p.detach().any()),
        frozenset(called),
        "sgd" if isinstance(subject.optimizer(model), torch.optim.SGD) else "adam",
    )
